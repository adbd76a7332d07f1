/**
 * The header of every IKE message (RFC 7296 §3.1).
 *
 *   0                    8                    16     17       18        19     20          24       28
 *   | initiator's SPI    | responder's SPI    | next | version | exchange | flags | message id | length |
 *
 *   version: major in the upper four bits, minor in the lower; flags: 00RVI000 (response, version, original initiator)
 *
 * On the port that IKE shares with ESP the message stands behind four zero bytes, which are no part of it (RFC 3948 §2.2).
 */
import { WireError } from './wire-error.ts'

/** Bytes. */
export const IKE_HEADER_LENGTH = 28

/** What tells IKE from ESP on a shared port: no SPI is zero. */
export const NON_ESP_MARKER: Uint8Array = new Uint8Array(4)

/** The only major version that is spoken; any minor one is taken (RFC 7296 §2.5). */
export const IKE_MAJOR_VERSION = 2

export interface IkeHeader {
  /** 64 bits, never 0. */
  readonly initiatorSpi: bigint
  /** 64 bits; 0 in the first message of an IKE SA. */
  readonly responderSpi: bigint
  /** PayloadType of the first payload; 0 where there is none. */
  readonly firstPayload: number
  /** 0..15 each. */
  readonly majorVersion: number
  readonly minorVersion: number
  /** ExchangeType. */
  readonly exchange: number
  /** HeaderFlag bits; the others are ignored when read, and zero when written. */
  readonly flags: number
  /** 32 bits, counted from 0 in each direction. */
  readonly messageId: number
  /** Bytes of the whole message, header included. */
  readonly length: number
}

/** `datagram` is the message without the non-ESP marker. */
export function decodeIkeHeader(datagram: Uint8Array): IkeHeader {
  if (datagram.length < IKE_HEADER_LENGTH)
    throw new WireError('ike-length', `an IKE message has at least ${IKE_HEADER_LENGTH} bytes, not ${datagram.length}`)
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength)
  const length = view.getUint32(24)
  if (length !== datagram.length)
    throw new WireError('ike-length', `the header speaks of ${length} bytes, the datagram has ${datagram.length}`)
  const initiatorSpi = view.getBigUint64(0)
  if (initiatorSpi === 0n) throw new WireError('ike-spi', "the initiator's SPI is zero")
  const version = view.getUint8(17)
  return {
    initiatorSpi,
    responderSpi: view.getBigUint64(8),
    firstPayload: view.getUint8(16),
    majorVersion: version >> 4,
    minorVersion: version & 0x0f,
    exchange: view.getUint8(18),
    flags: view.getUint8(19),
    messageId: view.getUint32(20),
    length,
  }
}

export function encodeIkeHeader(header: IkeHeader, out: Uint8Array, at = 0): number {
  if (out.length - at < IKE_HEADER_LENGTH) throw new RangeError(`an IKE header needs ${IKE_HEADER_LENGTH} bytes of room`)
  const view = new DataView(out.buffer, out.byteOffset + at, IKE_HEADER_LENGTH)
  view.setBigUint64(0, header.initiatorSpi)
  view.setBigUint64(8, header.responderSpi)
  view.setUint8(16, header.firstPayload)
  view.setUint8(17, (header.majorVersion << 4) | header.minorVersion)
  view.setUint8(18, header.exchange)
  view.setUint8(19, header.flags)
  view.setUint32(20, header.messageId)
  view.setUint32(24, header.length)
  return IKE_HEADER_LENGTH
}

export const lengthOfIkeHeader = (): number => IKE_HEADER_LENGTH
