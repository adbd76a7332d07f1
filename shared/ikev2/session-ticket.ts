import { toHex } from '#shared/bytes/hex.ts'
import { Reader } from '#shared/bytes/reader.ts'
import { WireError } from '#shared/bytes/wire-error.ts'
import { Writer } from '#shared/bytes/writer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'
import { idText } from './identity.ts'
import type { AuthenticatedPeer } from './peer-policy.ts'

/**
 * Session tickets by value (RFC 5723 §5, appendix A): what a gateway needs to take a peer back without public-key work, sealed by a key of
 * the gateway's own, so that nothing is kept about peers that are away and tickets outlive a restart.
 *
 *   nonce (12) | AEAD_CHACHA20_POLY1305(key, nonce, aad "adit ticket 1", content)
 *
 *   content: expiry, ms since 1970 (8) | n (1), n transforms of (type 1, id 2, key length 2) | SK_d (2 + …) | ID type (1), ID (2 + …)
 *            | certificate DER (2 + …), empty: pre-shared key
 */
const NONCE_LENGTH = 12
const TAG_LENGTH = 16
const aad = Uint8Array.from(Buffer.from('adit ticket 1', 'ascii'))

/** The request that carries a ticket cannot be cut in fragments: with headers it stays below 1280 bytes. */
const MAX_TICKET = 1_000

export interface TicketContent {
  readonly expires: WallTime
  /** One transform a type. */
  readonly chosen: Proposal
  /** Secret. */
  readonly skD: Uint8Array
  readonly peer: AuthenticatedPeer
}

/** Undefined where the peer's certificate is too large for a ticket. */
export function sealTicket(suite: Suite, key: Uint8Array, content: TicketContent): Uint8Array | undefined {
  const { chosen, skD, peer, expires } = content
  const certificate = peer.proof.kind === 'certificate' ? peer.proof.certificate.der : new Uint8Array()
  const length = 8 + 1 + 5 * chosen.transforms.length + 2 + skD.length + 1 + 2 + peer.id.data.length + 2 + certificate.length
  if (NONCE_LENGTH + length + TAG_LENGTH > MAX_TICKET) return undefined
  const plain = new Uint8Array(length)
  const writer = new Writer(plain).u64(BigInt(Math.round(expires))).u8(chosen.transforms.length)
  for (const { type, id, keyLength } of chosen.transforms)
    writer
      .u8(type)
      .u16(id)
      .u16(keyLength ?? 0)
  writer.u16(skD.length).bytes(skD).u8(peer.id.type).u16(peer.id.data.length).bytes(peer.id.data)
  writer.u16(certificate.length).bytes(certificate)

  const ticket = new Uint8Array(NONCE_LENGTH + length + TAG_LENGTH)
  ticket.set(suite.random(NONCE_LENGTH))
  const aead = suite.chacha20poly1305.key(key)
  aead.seal(ticket.subarray(0, NONCE_LENGTH), aad, plain, ticket.subarray(NONCE_LENGTH))
  aead.wipe()
  plain.fill(0)
  return ticket
}

/** Undefined: sealed by none of the keys, or expired at `now`. Never throws. */
export function openTicket(
  suite: Suite,
  keys: readonly Uint8Array[],
  ticket: Uint8Array,
  now: WallTime,
): TicketContent | undefined {
  if (ticket.length > MAX_TICKET || ticket.length < NONCE_LENGTH + TAG_LENGTH) return undefined
  for (const key of keys) {
    const plain = new Uint8Array(ticket.length - NONCE_LENGTH)
    const aead = suite.chacha20poly1305.key(key)
    const length = aead.open(ticket.subarray(0, NONCE_LENGTH), aad, ticket.subarray(NONCE_LENGTH), plain)
    aead.wipe()
    if (length < 0) continue
    const content = read(suite, plain.subarray(0, length))
    plain.fill(0)
    return content !== undefined && now < content.expires ? content : undefined
  }
  return undefined
}

function read(suite: Suite, plain: Uint8Array): TicketContent | undefined {
  try {
    const reader = new Reader(plain)
    const expires = wallTime(Number(reader.u64()))
    const transforms = Array.from({ length: reader.u8() }, (): Transform => {
      const [type, id, keyLength] = [reader.u8(), reader.u16(), reader.u16()]
      return keyLength === 0 ? { type, id } : { type, id, keyLength }
    })
    const skD = reader.bytes(reader.u16())
    const id = { type: reader.u8(), data: reader.bytes(reader.u16()) }
    const der = reader.bytes(reader.u16())
    reader.end()
    const proof = der.length === 0 ? ({ kind: 'psk' } as const) : certificateProof(suite, parseCertificate(der))
    return {
      expires,
      chosen: { number: 1, protocol: ProtocolId.Ike, spi: new Uint8Array(), transforms },
      skD,
      peer: { id, idText: idText(id), proof },
    }
  } catch (error) {
    // Our own seal was on it: an older version of this program wrote it otherwise.
    if (error instanceof WireError || error instanceof PkiError) return undefined
    throw error
  }
}

const certificateProof = (suite: Suite, certificate: Certificate): AuthenticatedPeer['proof'] => ({
  kind: 'certificate',
  certificate,
  spkiSha256: toHex(suite.hash('sha256', certificate.spki)),
})
