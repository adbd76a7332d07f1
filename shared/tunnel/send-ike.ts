import { NON_ESP_MARKER } from '#shared/wire/ike-header.ts'
import type { Association, Endpoint } from './association.ts'
import type { EspPorts } from './esp-options.ts'
import { borrowScratch, returnScratch } from './scratch.ts'

/** Hands an IKE message over to be sent: behind the non-ESP marker, or bare from the port 500. */
export function sendIke(ports: EspPorts, message: Uint8Array, to: Endpoint, bare: boolean, from: Association | undefined): void {
  if (bare) {
    ports.transmitBare?.(message, to, from)
    return
  }
  const length = NON_ESP_MARKER.length + message.length
  const scratch = borrowScratch(length)
  scratch.set(NON_ESP_MARKER)
  scratch.set(message, NON_ESP_MARKER.length)
  ports.transmit(scratch.subarray(0, length), to, from)
  returnScratch(scratch)
}
