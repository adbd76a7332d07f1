import { parseEndpointText } from '#broker/gateway/endpoint-text.ts'
import type { Peers } from '#broker/gateway/peers.ts'
import type { TakenTimestamps } from '#broker/gateway/taken-timestamps.ts'
import type { Directory } from '#broker/registry/directory.ts'
import type { EndpointRecord } from '#broker/registry/presence.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import type { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'

export interface KnownDevicesOptions {
  directory: Directory
  clock: Clock
  peers: Peers
  noise: WireguardEndpoint
  taken: TakenTimestamps
}

/**
 * Makes the associations of principals that an earlier run knew the place of, so that they can be called (DESIGN D7): an idle noise
 * session lapses unnoticed, and its device would not ask before it has something to say. Peers of the esp suite notice by themselves.
 */
export function recallKnown(records: readonly EndpointRecord[], options: KnownDevicesOptions): WireguardAssociation[] {
  const { directory, clock, peers, noise, taken } = options
  const known: WireguardAssociation[] = []
  for (const { principalId, endpoint: text, suite } of records) {
    if (suite !== 'noise') continue
    const principal = directory.byId(principalId)
    const key = principal?.tunnelKey
    const endpoint = parseEndpointText(text)
    if (principal === undefined || key === undefined || endpoint === undefined) continue
    if (noise.association(key) !== undefined || !directory.isAdmitted(principal, clock.wall())) continue
    const association = noise.addPeer({ publicKey: fromHex(key), endpoint, lastTimestamp: taken.of(key) }, clock.now())
    peers.bind(principal, association)
    known.push(association)
  }
  return known
}
