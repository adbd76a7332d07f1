import type { Suite } from '#shared/crypto/suite.ts'
import type { DropCounters } from '#shared/drop-reason.ts'
import type { IkeContext } from '#shared/ikev2/ike-context.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { PeerGrant } from '#shared/ikev2/peer-policy.ts'
import type { Dice } from '#shared/time/backoff.ts'
import type { DataLane } from './data-lane.ts'
import type { EspAssociation } from './esp-association.ts'
import type { EspPorts } from './esp-options.ts'
import type { EspSession } from './esp-session.ts'
import type { Arrival, HeldIkeSa } from './held-ike-sa.ts'
import type { IkeSpiTable } from './ike-spi-table.ts'
import type { SpiTable } from './spi-table.ts'
import type { Sleeper, WakeUps } from './wake-ups.ts'

/** What the associations and IKE SAs of one EspEndpoint share. */
export interface EspCore {
  readonly suite: Suite
  readonly ports: EspPorts
  readonly counters: DropCounters
  readonly spis: SpiTable<EspSession<HeldIkeSa>>
  readonly ikeSpis: IkeSpiTable<HeldIkeSa>
  readonly timers: WakeUps<Sleeper>
  readonly dice: Dice
  /** Longest inner packet, bytes. */
  readonly innerMtu: number
  /** Bytes; 0: none. */
  readonly tfcPadding: number
  readonly lane: DataLane | undefined
  /** For IKE SAs that begin now; those that live keep theirs. */
  readonly context: IkeContext
  onFailure(failure: NegotiationFailure): void
  /** The association of a peer that has just proven who it is; made where there is none. */
  admitted(grant: PeerGrant): EspAssociation
  /** An IKE message to somebody who has no IKE SA, the way that his came. */
  reply(message: Uint8Array, arrival: Arrival): void
  /** An IKE SA is no longer half-open: it is authenticated, or it has ended. */
  settled(held: HeldIkeSa): void
}
