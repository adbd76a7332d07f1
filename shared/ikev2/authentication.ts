import { concat } from '#shared/bytes/concat.ts'
import type { RsaPadding, Suite } from '#shared/crypto/suite.ts'
import { rawFromDer } from '#shared/ikev2/ecdsa-form.ts'
import { acceptedHashes, chooseScheme, type Signing } from '#shared/ikev2/signature-scheme.ts'
import { type PrfFunction, sharedKeyMic } from '#shared/ikev2/signed-octets.ts'
import { type SigningKey, signingKey } from '#shared/ikev2/signing-key.ts'
import { verifySignedAuth } from '#shared/ikev2/verify-auth.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { AuthMethod } from '#shared/wire/ike-numbers.ts'
import type { AuthPayload } from '#shared/wire/ike-payload/payload.ts'

/** How an end proves itself in IKE_AUTH. */
export type Credential = CertificateCredential | SharedKeyCredential

/** Made by `certificateCredential`. */
export interface CertificateCredential {
  readonly kind: 'certificate'
  /** DER, leaf first, then intermediates; the root is left out, since who trusts it has it. */
  readonly chain: readonly Uint8Array[]
  /** The leaf. */
  readonly certificate: Certificate
  readonly key: SigningKey
  /** Of RSA signatures under RFC 7427: PSS (RFC 8247 §3.2.2), unless a peer is known for the older one alone. */
  readonly rsaPadding: RsaPadding
}

export interface SharedKeyCredential {
  readonly kind: 'psk'
  /** 16 bytes at least: `parseSharedSecret` demands it. */
  readonly secret: Uint8Array
}

/** `privateKey`: PKCS#8 DER, or the key made ready. Throws PkiError where either cannot be read or they do not belong together. */
export function certificateCredential(
  chain: readonly Uint8Array[],
  privateKey: Uint8Array | SigningKey,
  suite: Suite,
  rsaPadding: RsaPadding = 'pss',
): CertificateCredential {
  const certificate = parseCertificate(chain[0] ?? new Uint8Array())
  const key = privateKey instanceof Uint8Array ? signingKey(privateKey, suite) : privateKey
  const credential: CertificateCredential = { kind: 'certificate', chain, certificate, key, rsaPadding }
  // A key that is not the certificate's would fail at every peer with a message that names neither.
  const probe = Uint8Array.from(Buffer.from('adit', 'ascii'))
  const auth = signAuth(credential, probe, acceptedHashes, suite)
  if (auth === undefined || verifySignedAuth(auth, probe, certificate.publicKey) !== undefined)
    throw new PkiError('signature-invalid', 'the private key is not the one of the certificate')
  return credential
}

/**
 * Our AUTH payload over the signed octets. `peerHashes`: what the peer's SIGNATURE_HASH_ALGORITHMS said, undefined where it sent none.
 * Undefined: our key cannot sign in a way that the peer understands (Ed25519 and a peer that does not know it), or its token is away.
 */
export function makeAuth(
  credential: Credential,
  octets: Uint8Array,
  peerHashes: readonly number[] | undefined,
  prf: PrfFunction,
  suite: Suite,
): AuthPayload | undefined {
  if (credential.kind === 'certificate') return signAuth(credential, octets, peerHashes, suite)
  return { kind: 'auth', method: AuthMethod.SharedKey, data: sharedKeyMic(prf, credential.secret, octets) }
}

function signAuth(
  { key, rsaPadding }: CertificateCredential,
  octets: Uint8Array,
  peerHashes: readonly number[] | undefined,
  suite: Suite,
): AuthPayload | undefined {
  const scheme = chooseScheme(key, peerHashes, rsaPadding)
  if (scheme === undefined) return undefined
  const signature = sign(key, scheme.how, octets, suite)
  if (signature === undefined) return undefined
  if (!('algorithm' in scheme)) return { kind: 'auth', method: scheme.method, data: signature }
  // RFC 7427 §3: length of the AlgorithmIdentifier in one byte, itself, the signature.
  return {
    kind: 'auth',
    method: scheme.method,
    data: concat(Uint8Array.of(scheme.algorithm.length), scheme.algorithm, signature),
  }
}

function sign(key: SigningKey, how: Signing, octets: Uint8Array, suite: Suite): Uint8Array | undefined {
  if (key.kind === 'rsa') {
    if (how.kind !== 'rsa') throw new RangeError('an RSA key signs with RSA alone')
    return suite.rsa.sign(key.key, how.padding, how.hash, octets)
  }
  if ('signer' in key) {
    const der = key.signer.sign(octets)
    return der && how.kind === 'p256' && how.raw ? rawFromDer(der, 32) : der
  }
  if (key.kind === 'ed25519') return suite.ed25519.sign(key.pair, octets)
  const raw = how.kind !== 'rsa' && how.kind !== 'ed25519' && how.raw
  if (key.kind === 'p256') return raw ? suite.ecdsaP256Raw.sign(key.pair, octets) : suite.ecdsaP256.sign(key.pair, octets)
  const der = suite.ecdsaP384.sign(key.pair, octets)
  return raw ? rawFromDer(der, 48) : der
}
