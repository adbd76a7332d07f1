import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { Reader } from '#shared/bytes/reader.ts'
import { WireError } from '#shared/bytes/wire-error.ts'
import { Writer } from '#shared/bytes/writer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'
import type { AuthenticatedPeer } from './peer-policy.ts'

/**
 * Session tickets by value (RFC 5723 §5, appendix A): what a gateway needs to take a peer back without public-key work, sealed by a key of
 * the gateway's own, so that nothing is kept about peers that are away and tickets outlive a restart.
 *
 *   nonce (12) | AEAD_CHACHA20_POLY1305(key, nonce, aad "adit ticket 2", content)
 *
 *   content: expiry, ms since 1970 (8) | end of the certificate likewise (8), 0: pre-shared key | n (1), n transforms of (type 1, id 2, key length 2) | SK_d (2 + …)
 *            | ID type (1), ID (2 + …), its text (2 + …) | certificate DER (2 + …), empty: pre-shared key | SHA-256 of its SPKI (32)
 *
 * Texts, times and hashes that could be computed from the rest are in it, and the certificate is parsed when somebody asks for it, which no
 * return does: thousands of peers come back in a second.
 */
const NONCE_LENGTH = 12
const TAG_LENGTH = 16
const HASH_LENGTH = 32
const aad = Uint8Array.from(Buffer.from('adit ticket 2', 'ascii'))

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

/** What a ticket says of the certificate that earned it; undefined: a pre-shared key did. */
interface TicketCertificate {
  readonly der: Uint8Array
  readonly notAfter: WallTime
}

function certificateOf({ proof }: AuthenticatedPeer): TicketCertificate | undefined {
  if (proof instanceof StoredProof) return proof
  return proof.kind === 'certificate' ? proof.certificate : undefined
}

/** When the proof of this peer ends by itself. */
export const proofEnds = (peer: AuthenticatedPeer): number => certificateOf(peer)?.notAfter ?? Number.POSITIVE_INFINITY

/** Undefined where the peer's certificate is too large for a ticket. */
export function sealTicket(suite: Suite, key: Uint8Array, content: TicketContent): Uint8Array | undefined {
  const { chosen, skD, peer, expires } = content
  const held = certificateOf(peer)
  const certificate = held?.der ?? new Uint8Array()
  const text = Uint8Array.from(Buffer.from(peer.idText, 'utf8'))
  const hash = peer.proof.kind === 'certificate' ? fromHex(peer.proof.spkiSha256) : new Uint8Array()
  const fields = [skD, peer.id.data, text, certificate]
  const length =
    8 + 8 + 1 + 5 * chosen.transforms.length + 1 + fields.reduce((sum, field) => sum + 2 + field.length, 0) + hash.length
  if (NONCE_LENGTH + length + TAG_LENGTH > MAX_TICKET) return undefined
  const plain = new Uint8Array(length)
  const writer = new Writer(plain).u64(BigInt(Math.round(expires))).u64(BigInt(Math.max(0, held?.notAfter ?? 0)))
  writer.u8(chosen.transforms.length)
  for (const { type, id, keyLength } of chosen.transforms)
    writer
      .u8(type)
      .u16(id)
      .u16(keyLength ?? 0)
  writer.u16(skD.length).bytes(skD).u8(peer.id.type).u16(peer.id.data.length).bytes(peer.id.data)
  writer.u16(text.length).bytes(text).u16(certificate.length).bytes(certificate).bytes(hash)

  const ticket = new Uint8Array(NONCE_LENGTH + length + TAG_LENGTH)
  ticket.set(suite.random(NONCE_LENGTH))
  suite.chacha20poly1305.sealOnce(key, ticket.subarray(0, NONCE_LENGTH), aad, plain, ticket.subarray(NONCE_LENGTH))
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
    const [nonce, sealed] = [ticket.subarray(0, NONCE_LENGTH), ticket.subarray(NONCE_LENGTH)]
    const length = suite.chacha20poly1305.openOnce(key, nonce, aad, sealed, plain)
    if (length < 0) continue
    const content = read(plain.subarray(0, length))
    plain.fill(0)
    return content !== undefined && now < content.expires ? content : undefined
  }
  return undefined
}

function read(plain: Uint8Array): TicketContent | undefined {
  try {
    const reader = new Reader(plain)
    const expires = wallTime(Number(reader.u64()))
    const notAfter = wallTime(Number(reader.u64()))
    const transforms = Array.from({ length: reader.u8() }, (): Transform => {
      const [type, id, keyLength] = [reader.u8(), reader.u16(), reader.u16()]
      return keyLength === 0 ? { type, id } : { type, id, keyLength }
    })
    const skD = reader.bytes(reader.u16())
    const id = { type: reader.u8(), data: reader.bytes(reader.u16()) }
    const text = Buffer.from(reader.bytes(reader.u16())).toString('utf8')
    const der = reader.bytes(reader.u16())
    const proof = der.length === 0 ? ({ kind: 'psk' } as const) : new StoredProof(der, notAfter, toHex(reader.bytes(HASH_LENGTH)))
    reader.end()
    return {
      expires,
      chosen: { number: 1, protocol: ProtocolId.Ike, spi: new Uint8Array(), transforms },
      skD,
      peer: { id, idText: text, proof },
    }
  } catch (error) {
    // Our own seal was on it: an older version of this program wrote it otherwise.
    if (error instanceof WireError) return undefined
    throw error
  }
}

/** The proof that earned the ticket. The certificate was parsed and judged then; it is parsed again if anybody asks for it. */
class StoredProof implements TicketCertificate {
  readonly kind = 'certificate'
  readonly spkiSha256: string
  readonly der: Uint8Array
  readonly notAfter: WallTime
  #certificate: Certificate | undefined

  constructor(der: Uint8Array, notAfter: WallTime, spkiSha256: string) {
    this.der = der
    this.notAfter = notAfter
    this.spkiSha256 = spkiSha256
  }

  /** Throws PkiError where this version of the program reads certificates more strictly than the one that sealed the ticket. */
  get certificate(): Certificate {
    this.#certificate ??= parseCertificate(this.der)
    return this.#certificate
  }
}
