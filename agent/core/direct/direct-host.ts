/** What associations with others need from outside: the owner of the core says whom and what, the core carries. */
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Candidate } from '#shared/nat/candidate.ts'
import type { PathReason } from '#shared/nat/path-choice.ts'
import type { Path } from '#shared/nat/path-way.ts'
import type { Netstack } from '#shared/netstack/netstack.ts'
import type { Clock, WallTime } from '#shared/time/instant.ts'
import type { Association, PeerEndpoint } from '#shared/tunnel/association.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { StatementJudge } from './reception.ts'

/** What the owner of the core gives so that it may meet others directly. */
export interface DirectOptions {
  readonly role: 'device' | 'operator'
  readonly judge: StatementJudge
  /** The time at which statements are judged: never below the floor (DESIGN D5). */
  time(): WallTime
  /** Places of this end that the shell knows: addresses of its interfaces with the socket's port, and mapped ones. */
  places(): readonly Candidate[]
  /** How a place that another end named is written here: a network without IPv4 leads there by its NAT64, if it does. As it is unless given. */
  wayTo?(place: Endpoint): Endpoint
  /**
   * Whether devices and operators say nothing to each other but by an association of their own: a broker could read and forge any other
   * packet. A device that says so binds its operators too.
   */
  readonly strict?: () => boolean
  /** Others meet this end through the hub alone: it names no places, and answers no letter nor probe that comes another way. */
  readonly relayOnly?: boolean
  event?(event: DirectEvent): void
}

export type DirectEvent =
  | { kind: 'introduced'; name: string }
  | { kind: 'refused'; name: string; why: string }
  | { kind: 'established'; name: string }
  | { kind: 'path'; name: string; path: Path; why: PathReason }
  | { kind: 'closed'; name: string; why: PartingReason }

/** Why an association with another end was given up. */
export type PartingReason = 'expired' | 'withdrawn' | 'left'

/** What the agent core does for it. Every buffer is borrowed for the call. */
export interface DirectHost {
  readonly suite: Suite
  readonly clock: Clock
  readonly tunnelKey: KeyPair
  /** Where it speaks noise, it holds our associations too. */
  readonly hubEndpoint: PeerEndpoint
  /** Its UDP port 4501 is ours. */
  readonly netstack: Netstack
  /** A packet for this end, from an association that may say it; undefined: from ourselves. */
  deliver(packet: Uint8Array, from: Association | undefined): void
  /** Packets may take other ways than before, or none. */
  rerouted(): void
  /** An outer datagram over UDP. */
  send(datagram: Uint8Array, to: Endpoint): void
  /** An inner packet through the hub. */
  relay(packet: Uint8Array): void
  /** Whether an inner address is the broker's own. */
  isBroker(address: string): boolean
  /** Whether the hub carries, and the longest inner packet that it carries whole. */
  relayUp(): boolean
  relayMtu(): number
  /** Where STUN sees us. */
  reflexive(): Endpoint | undefined
  nextTimestamp(): Uint8Array
  /** Something is due earlier than was said. */
  wake(): void
}

/** Whether this end believes nothing but what comes by an association of its own. */
export const isStrictEnd = ({ strict }: DirectOptions): boolean => strict?.() ?? false

/** How our network writes a place that another end named. */
export const wayTo = ({ wayTo }: DirectOptions, place: Endpoint): Endpoint => wayTo?.(place) ?? place

/** The places where this end may be met, as it tells them to others. */
export function ownCandidates(options: DirectOptions, host: DirectHost): Candidate[] {
  if (options.relayOnly) return []
  const reflexive = host.reflexive()
  const seen: Candidate[] = reflexive === undefined ? [] : [{ kind: 'reflexive', endpoint: reflexive }]
  return [...options.places(), ...seen]
}
