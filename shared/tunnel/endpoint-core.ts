import type { DropCounters } from '#shared/drop-reason.ts'
import type { Dice } from '#shared/time/backoff.ts'
import type { Duration } from '#shared/time/instant.ts'
import type { Endpoint, EndpointPorts } from './association.ts'
import type { DataLane } from './data-lane.ts'
import type { LocalIdentity } from './handshake.ts'
import type { IndexTable } from './index-table.ts'
import type { Attempt } from './initiator.ts'
import type { Session } from './session.ts'
import type { WakeUps } from './wake-ups.ts'
import type { WireguardAssociation } from './wireguard-association.ts'

/** What the associations of one endpoint share. */
export interface EndpointCore {
  readonly local: LocalIdentity
  readonly ports: EndpointPorts
  readonly counters: DropCounters
  readonly indexes: IndexTable<Attempt | Session<WireguardAssociation>>
  readonly timers: WakeUps<WireguardAssociation>
  readonly dice: Dice
  /** Inner packets are not padded beyond this; bytes. */
  readonly innerMtu: number
  readonly lane: DataLane | undefined
  nextTimestamp(): Uint8Array
  /** A receiver index for a session with that peer (`Association.peerKey`); it is taken by `indexes.put`. */
  pickIndex(peerKey: string): number
}

/** How one association begins. */
export interface AssociationOptions {
  readonly endpoint: Endpoint | undefined
  readonly lastTimestamp: Uint8Array | undefined
  readonly persistentKeepalive: Duration | undefined
  /** Never stop asking once begun. */
  readonly forever: boolean
  /** Whether the owner alone says where the peer is. */
  readonly steered: boolean
}
