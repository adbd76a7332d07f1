/**
 * Delete payload (RFC 7296 §3.11).
 *
 *   0          1          2             4
 *   | protocol | SPI size | count (16)  | SPIs …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { ProtocolId } from '../ike-numbers.ts'
import { WireError } from '../wire-error.ts'
import type { DeletePayload } from './payload.ts'

const HEADER_LENGTH = 4
const SPI_LENGTH = 4
/** Nobody has so many Child SAs with one peer. */
const MAX_SPIS = 256

/** The IKE SA is named by the message itself, so its Delete has no SPI; those of AH and ESP have four bytes. */
export function decodeDelete(body: Uint8Array): DeletePayload {
  const reader = new Reader(body)
  const protocol = reader.u8()
  const spiLength = reader.u8()
  const count = reader.u16()
  if (protocol === ProtocolId.Ike) {
    if (spiLength !== 0 || count !== 0) throw new WireError('ike-delete', 'the deletion of an IKE SA names SPIs')
  } else if (protocol !== ProtocolId.Ah && protocol !== ProtocolId.Esp) {
    throw new WireError('ike-delete', `the deletion is of protocol ${protocol}`)
  } else if (spiLength !== SPI_LENGTH) throw new WireError('ike-delete', `an SPI of ${spiLength} bytes is deleted`)
  if (count > MAX_SPIS) throw new WireError('ike-delete', `${count} SPIs are deleted at once`)
  const spis: Uint8Array[] = []
  for (let i = 0; i < count; i++) spis.push(reader.view(SPI_LENGTH))
  reader.end()
  return { kind: 'delete', protocol, spis }
}

export function encodeDelete(payload: DeletePayload, out: Uint8Array, at = 0): number {
  const spiLength = payload.protocol === ProtocolId.Ike ? 0 : SPI_LENGTH
  const writer = new Writer(out, at).u8(payload.protocol).u8(spiLength).u16(payload.spis.length)
  for (const spi of payload.spis) writer.bytes(spi)
  return writer.at - at
}

export const lengthOfDelete = (payload: DeletePayload): number => HEADER_LENGTH + SPI_LENGTH * payload.spis.length
