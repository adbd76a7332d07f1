import { concat } from '#shared/bytes/concat.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { CertEncoding } from '#shared/wire/ike-numbers.ts'
import type { CertPayload, CertReqPayload, IkePayload } from '#shared/wire/ike-payload/payload.ts'

/**
 * Certificates and the requests for them (RFC 7296 §3.6, §3.7). A request names the authorities that its sender trusts, each by the SHA-1
 * of its SubjectPublicKeyInfo: a name, not a proof, so SHA-1 does no harm here. It is a hint: whatever chain comes is judged by itself.
 */
export const caKeyHash = (authority: Certificate, suite: Suite): Uint8Array => suite.hash('sha1', authority.spki)

/** Bytes of one hash. */
const hashLength = 20
/** Authorities named in one request at most: it goes into messages that must stay small. */
const authorityLimit = 64

/** Undefined where no authority is trusted: then no certificate is asked for. `authorities`: 20 bytes each. */
export function certRequest(authorities: readonly Uint8Array[]): CertReqPayload | undefined {
  if (authorities.length === 0) return undefined
  return { kind: 'cert-req', encoding: CertEncoding.X509Signature, data: concat(...authorities.slice(0, authorityLimit)) }
}

/** The authorities that a peer's requests name, as lower-case hex; undefined where it asked for no X.509 certificate or left it to us. */
export function requestedAuthorities(payloads: readonly IkePayload[]): ReadonlySet<string> | undefined {
  const requests = payloads.filter(isX509Request)
  const hashes = requests.flatMap(({ data }) =>
    Array.from({ length: Math.floor(data.length / hashLength) }, (_, i) =>
      toHex(data.subarray(i * hashLength, (i + 1) * hashLength)),
    ),
  )
  return hashes.length === 0 ? undefined : new Set(hashes)
}

const isX509Request = (payload: IkePayload): payload is CertReqPayload =>
  payload.kind === 'cert-req' && payload.encoding === CertEncoding.X509Signature

/** One CERT payload a certificate, the leaf's first (RFC 7296 §1.2). */
export const certPayloads = (chain: readonly Uint8Array[]): CertPayload[] =>
  chain.map((data) => ({ kind: 'cert', encoding: CertEncoding.X509Signature, data }))

/**
 * The peer's certificates as they came, leaf first; copied, for they outlive the message. Revocation lists are left out, and what is sent
 * as an address of a certificate is not fetched.
 */
export const chainOf = (payloads: readonly IkePayload[]): Uint8Array[] =>
  payloads.flatMap((payload) =>
    payload.kind === 'cert' && payload.encoding === CertEncoding.X509Signature ? [payload.data.slice()] : [],
  )
