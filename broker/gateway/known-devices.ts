import { parseEndpointText } from '#broker/endpoint-text.ts'
import type { Peers } from '#broker/gateway/peers.ts'
import type { TakenTimestamps } from '#broker/gateway/taken-timestamps.ts'
import type { Directory } from '#broker/registry/directory.ts'
import type { EndpointRecord } from '#broker/registry/presence.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import type { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'

export interface KnownDevicesOptions {
  directory: Directory
  clock: Clock
  peers: Peers
  noise: WireguardEndpoint
  /** Undefined: the broker does not speak it. */
  esp: Pick<EspEndpoint, 'announceLoss'> | undefined
  taken: TakenTimestamps
}

/** Calls one device; false where that needs no call (any more). */
export type Call = () => boolean

/**
 * How to call each principal that an earlier run knew the place of (DESIGN D7). An idle noise session lapses unnoticed, and its device
 * would not ask before it has something to say: its association is made here, and asks. In the esp suite it is the peer who begins; it is
 * told that what it had is gone.
 */
export function recallKnown(records: readonly EndpointRecord[], options: KnownDevicesOptions): Call[] {
  const { directory, clock } = options
  const calls: Call[] = []
  for (const { principalId, endpoint: text, suite } of records) {
    const principal = directory.byId(principalId)
    const endpoint = parseEndpointText(text)
    if (principal === undefined || endpoint === undefined || !directory.isAdmitted(principal, clock.wall())) continue
    const call = suite === 'noise' ? noiseCall(principal, endpoint, options) : espCall(principal, endpoint, options)
    if (call !== undefined) calls.push(call)
  }
  return calls
}

function noiseCall(principal: Principal, endpoint: Endpoint, options: KnownDevicesOptions): Call | undefined {
  const { clock, peers, noise, taken } = options
  const key = principal.tunnelKey
  if (key === undefined || noise.association(key) !== undefined) return undefined
  const association = noise.addPeer({ publicKey: fromHex(key), endpoint, lastTimestamp: taken.of(key) }, clock.now())
  peers.bind(principal, association)
  return () => {
    // It may have come by itself, or have been revoked, in the meantime.
    if (association.state !== 'idle' || peers.endpointOf(association) === undefined) return false
    noise.call(association, clock.now())
    return true
  }
}

function espCall(principal: Principal, endpoint: Endpoint, { peers, esp }: KnownDevicesOptions): Call | undefined {
  if (esp === undefined) return undefined
  return () => {
    if (peers.of(principal.id) !== undefined) return false
    esp.announceLoss(endpoint)
    return true
  }
}
