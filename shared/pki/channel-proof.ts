import { toBase64 } from '#shared/bytes/base64.ts'
import { concat } from '#shared/bytes/concat.ts'
import { type IdentityKey, signAs } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * A client's certificate for a TLS connection that is made already, for clients whose key TLS cannot use: a token signs what is asked of
 * it, and `node:tls` takes keys alone. In two headers of a request go the chain and a signature by its first certificate's key over
 *
 *     64 spaces || "adit channel proof, client" || 0 || SHA-256(leaf) (32) || exporter (32)
 *
 * in the form of TLS 1.3's own CertificateVerify (RFC 8446 §4.4.3), so that a signature for one can never stand for another. The exporter
 * (RFC 5705, RFC 8446 §7.5) is a secret of this one connection, equal at its two ends and nowhere else: it holds the transcript with both
 * random numbers and the server's certificate. Whoever relays the headers on a connection of his own has another exporter. That is what
 * exported authenticators (RFC 9261) do, and as strong as a certificate within the handshake, in TLS 1.3: in TLS 1.2 two connections
 * without the extended master secret could share one exporter, and Node does not say which have it.
 */
export const channelHeaders = { chain: 'adit-channel-chain', proof: 'adit-channel-proof' } as const

/** Of the exporter. */
export const channelExporter = { label: 'EXPORTER-adit-channel-proof', length: 32, protocol: 'TLSv1.3' } as const

/** Certificates in a proof at most: leaf, station CA, issuing CA, and a spare one; characters of them in the header. */
const longestChain = 4
const longestHeader = 8 * 1024
/** A signature in DER: 72 bytes at most. */
const longestProof = 128

const context = new TextEncoder().encode(`${' '.repeat(64)}adit channel proof, client\0`)

const messageOf = (leaf: Uint8Array, exporter: Uint8Array, suite: Pick<Suite, 'hash'>): Uint8Array =>
  concat(context, suite.hash('sha256', leaf), exporter)

/** The two headers, for each request on the connection of `exporter`. `chain`: DER, leaf first. */
export function proveChannel(
  { key, chain }: { key: IdentityKey; chain: readonly Uint8Array[] },
  exporter: Uint8Array,
  suite: Pick<Suite, 'hash' | 'ecdsaP256'>,
): Record<string, string> {
  const signature = signAs(key, messageOf(chain[0]!, exporter, suite), suite)
  return {
    [channelHeaders.chain]: chain.slice(0, longestChain).map(toBase64).join(','),
    [channelHeaders.proof]: toBase64(signature),
  }
}

/**
 * The chain that was proven, DER, leaf first: proven as the handshake of TLS proves one, and no more; whether it is one of ours is still
 * to be judged. Throws PkiError with the reason.
 */
export function readChannelProof(
  { chain, proof }: { chain: string; proof: string },
  exporter: Uint8Array,
  suite: Pick<Suite, 'hash' | 'ecdsaP256'>,
): Uint8Array[] {
  if (chain.length > longestHeader || proof.length > longestProof)
    throw new PkiError('too-large', 'the proof of the channel is too long')
  const parts = chain.split(',')
  if (parts.length > longestChain) throw new PkiError('too-large', 'the proof of the channel has too many certificates')
  const certificates = parts.map(fromBase64)
  const { publicKey } = parseCertificate(certificates[0]!)
  if (publicKey.kind !== 'p256') throw new PkiError('key-unsupported', 'the channel is proven by a key that is not P-256')
  const message = messageOf(certificates[0]!, exporter, suite)
  if (!suite.ecdsaP256.verify(publicKey.point, message, fromBase64(proof)))
    throw new PkiError(
      'signature-invalid',
      'the proof of the channel is not by the key of its certificate, or of another connection',
    )
  return certificates
}

/** Strict: one text, one meaning. */
function fromBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === 0 || bytes.toString('base64') !== text)
    throw new PkiError('request-malformed', 'the proof of the channel is not base64')
  return Uint8Array.from(bytes)
}
