import { equalConstantTime } from '#shared/bytes/equal.ts'
import { derFromRaw } from '#shared/ikev2/ecdsa-form.ts'
import { rsaAlgorithm } from '#shared/ikev2/signature-scheme.ts'
import { type PrfFunction, resumptionMic, sharedKeyMic } from '#shared/ikev2/signed-octets.ts'
import { oid, sequence } from '#shared/pki/der-writer.ts'
import { algorithms } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { PublicKey } from '#shared/pki/public-key.ts'
import { parseSignatureAlgorithm, type SignatureAlgorithm, verifySignature } from '#shared/pki/signature.ts'
import { AuthMethod } from '#shared/wire/ike-numbers.ts'
import type { AuthPayload } from '#shared/wire/ike-payload/payload.ts'

/** The peer's AUTH payload judged. Each gives undefined where the proof is good, else the reason as a sentence's end, for the log alone. */

/** By the key of the certificate that was judged. Never throws on a stranger's bytes. */
export function verifySignedAuth(auth: AuthPayload, octets: Uint8Array, key: PublicKey): string | undefined {
  switch (auth.method) {
    case AuthMethod.DigitalSignature:
      return verifyNamed(auth.data, octets, key)
    case AuthMethod.RsaSignature:
      return key.kind === 'rsa' ? verifyOldRsa(auth.data, octets, key) : wrongKey('an RSA signature', key)
    case AuthMethod.EcdsaSha256P256:
      return key.kind === 'p256' ? verifyRaw(auth.data, 64, ecdsaSha256, octets, key) : wrongKey('ECDSA on P-256', key)
    case AuthMethod.EcdsaSha384P384:
      return key.kind === 'p384' ? verifyRaw(auth.data, 96, ecdsaSha384, octets, key) : wrongKey('ECDSA on P-384', key)
    case AuthMethod.SharedKey:
      return 'the peer sent a certificate, yet its proof is by a pre-shared key'
    default:
      return `the peer's authentication method ${auth.method} is not accepted`
  }
}

const ecdsaSha256 = parseSignatureAlgorithm(sequence(oid(algorithms.ecdsaSha256)))
const ecdsaSha384 = parseSignatureAlgorithm(sequence(oid(algorithms.ecdsaSha384)))
const oldRsa = (['sha256', 'sha384', 'sha512'] as const).map((hash) => parseSignatureAlgorithm(rsaAlgorithm('pkcs1', hash)))

const keyNames: Readonly<Record<PublicKey['kind'], string>> = { p256: 'P-256', p384: 'P-384', ed25519: 'Ed25519', rsa: 'RSA' }

const wrongKey = (what: string, key: PublicKey): string =>
  `the proof is ${what}, but the certificate's key is ${keyNames[key.kind]}`
const wrong = 'the signature is not by the key of the certificate'

/** Method 14 (RFC 7427 §3): length in one byte, AlgorithmIdentifier, signature. */
function verifyNamed(data: Uint8Array, octets: Uint8Array, key: PublicKey): string | undefined {
  const end = 1 + (data[0] ?? 0)
  if (end === 1 || data.length <= end) return 'the signature is cut short'
  let algorithm: SignatureAlgorithm
  try {
    algorithm = parseSignatureAlgorithm(data.subarray(1, end))
  } catch (error) {
    if (error instanceof PkiError) return `the signature's algorithm is not accepted (${error.message}); SHA-2 is the least`
    throw error
  }
  const kind = key.kind === 'p256' || key.kind === 'p384' ? 'ec' : key.kind
  if (algorithm.key !== kind) return wrongKey(algorithm.name, key)
  return verifySignature(algorithm, key, octets, data.subarray(end)) ? undefined : wrong
}

/**
 * Method 1 names no hash. SHA-1, which RFC 7296 §3.8 made the custom, must not be taken (RFC 8247 §3.1); SHA-2 of any size is, for
 * peers that know their certificate's hash but not RFC 7427.
 */
function verifyOldRsa(signature: Uint8Array, octets: Uint8Array, key: PublicKey): string | undefined {
  if (oldRsa.some((algorithm) => verifySignature(algorithm, key, octets, signature))) return undefined
  return 'the signature is not by the key of the certificate, or with SHA-1, which authentication method 1 is often used with'
}

function verifyRaw(
  raw: Uint8Array,
  length: number,
  algorithm: SignatureAlgorithm,
  octets: Uint8Array,
  key: PublicKey,
): string | undefined {
  if (raw.length !== length) return `an ECDSA signature of ${raw.length} bytes in place of ${length}`
  return verifySignature(algorithm, key, octets, derFromRaw(raw)) ? undefined : wrong
}

/** By a pre-shared key; compared in constant time. */
export function verifySharedKeyAuth(
  auth: AuthPayload,
  octets: Uint8Array,
  secret: Uint8Array,
  prf: PrfFunction,
): string | undefined {
  if (auth.method !== AuthMethod.SharedKey) return 'the peer proves itself by a certificate, but a pre-shared key is expected'
  return equalConstantTime(auth.data, sharedKeyMic(prf, secret, octets)) ? undefined : 'the pre-shared keys differ'
}

/** By the keys of a resumed session (RFC 5723); compared in constant time. */
export function verifyResumptionAuth(
  auth: AuthPayload,
  octets: Uint8Array,
  skP: Uint8Array,
  prf: PrfFunction,
): string | undefined {
  if (auth.method !== AuthMethod.SharedKey) return 'a resumed session is proven by its own keys alone'
  return equalConstantTime(auth.data, resumptionMic(prf, skP, octets)) ? undefined : 'the keys of the resumed session differ'
}
