/**
 * Notify payload (RFC 7296 §3.10).
 *
 *   0          1          2            4
 *   | protocol | SPI size | type (16)  | SPI | data …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { NotifyType } from '../ike-numbers.ts'
import { WireError } from '../wire-error.ts'
import type { NotifyPayload } from './payload.ts'

/** Bytes before SPI and data. */
export const NOTIFY_HEADER_LENGTH = 4

/** Bytes of data that a notification must have; of a type that is not here, any number. */
const dataLengths: Readonly<Record<number, readonly [least: number, most: number]>> = {
  [NotifyType.UnsupportedCriticalPayload]: [1, 1],
  [NotifyType.InvalidKePayload]: [2, 2],
  [NotifyType.SetWindowSize]: [4, 4],
  // SHA-1 of SPIs, address and port (RFC 7296 §2.23).
  [NotifyType.NatDetectionSourceIp]: [20, 20],
  [NotifyType.NatDetectionDestinationIp]: [20, 20],
  [NotifyType.Cookie]: [1, 64],
  // RFC 4555 §4.2.
  [NotifyType.AdditionalIp4Address]: [4, 4],
  [NotifyType.AdditionalIp6Address]: [16, 16],
  [NotifyType.Cookie2]: [8, 64],
  // RFC 4478 §3: seconds.
  [NotifyType.AuthLifetime]: [4, 4],
  // RFC 5723 §7.1: lifetime and the ticket.
  [NotifyType.TicketLtOpaque]: [5, 65_535],
  // RFC 7427 §4: numbers of two bytes.
  [NotifyType.SignatureHashAlgorithms]: [2, 512],
}

export function decodeNotify(body: Uint8Array): NotifyPayload {
  const reader = new Reader(body)
  const protocol = reader.u8()
  const spiLength = reader.u8()
  const type = reader.u16()
  const spi = reader.view(spiLength)
  const data = reader.rest()
  const [least, most] = dataLengths[type] ?? [0, 65_535]
  if (data.length < least || data.length > most)
    throw new WireError('ike-notify', `notification ${type} has ${least} to ${most} bytes of data, not ${data.length}`)
  if (type === NotifyType.SignatureHashAlgorithms && data.length % 2 !== 0)
    throw new WireError('ike-notify', 'hash algorithms have two bytes each')
  if (type === NotifyType.RekeySa && spiLength !== 4)
    throw new WireError('ike-notify', `REKEY_SA names an SPI of 4 bytes, not ${spiLength}`)
  return { kind: 'notify', protocol, spi, type, data }
}

export function encodeNotify(payload: NotifyPayload, out: Uint8Array, at = 0): number {
  const { protocol, spi, type, data } = payload
  return new Writer(out, at).u8(protocol).u8(spi.length).u16(type).bytes(spi).bytes(data).at - at
}

export const lengthOfNotify = (payload: NotifyPayload): number => NOTIFY_HEADER_LENGTH + payload.spi.length + payload.data.length
