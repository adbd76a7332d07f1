import { equalConstantTime } from '#shared/bytes/equal.ts'
import { CryptoError, type KeyPair, type Suite, wipe } from '#shared/crypto/suite.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * Proof that whoever asks for a certificate holds the X25519 tunnel key it names (DESIGN D4). X25519 cannot sign, so, as RFC 6955 does
 * for static Diffie-Hellman, a MAC is made under the secret that the tunnel key shares with the CA's enrolment key:
 *
 *   mac = HMAC-SHA-256( HKDF-SHA-256(X25519(tunnel, enrolment), salt = empty, info, 32 bytes), SPKI DER || tunnel public key )
 *
 * It binds both keys: the mac of one request fits no other identity key.
 */
export const macLength = 32
export const tunnelKeyLength = 32

const info = Buffer.from('adit tunnel key possession', 'ascii')

type PossessionSuite = Pick<Suite, 'x25519' | 'hkdf' | 'hmac'>

/** `enrolmentKey`: the CA's public key. */
export function provePossession(tunnel: KeyPair, enrolmentKey: Uint8Array, spki: Uint8Array, suite: PossessionSuite): Uint8Array {
  return mac(tunnel, enrolmentKey, spki, tunnel.publicKey, suite)
}

/** Throws PkiError `possession-unproven`, also for a low-order tunnel key. */
export function checkPossession(
  proof: { tunnelKey: Uint8Array; mac: Uint8Array },
  enrolment: KeyPair,
  spki: Uint8Array,
  suite: PossessionSuite,
): void {
  try {
    if (!equalConstantTime(proof.mac, mac(enrolment, proof.tunnelKey, spki, proof.tunnelKey, suite))) throw unproven()
  } catch (error) {
    if (error instanceof CryptoError) throw unproven()
    throw error
  }
}

const unproven = (): PkiError => new PkiError('possession-unproven', 'the possession of the tunnel key is not proven')

function mac(own: KeyPair, other: Uint8Array, spki: Uint8Array, tunnelKey: Uint8Array, suite: PossessionSuite): Uint8Array {
  const shared = suite.x25519.shared(own, other)
  const key = suite.hkdf('sha256', shared, new Uint8Array(), info, 32)
  try {
    return suite.hmac('sha256', key, spki, tunnelKey)
  } finally {
    wipe(shared, key)
  }
}
