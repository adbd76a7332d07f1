import type { Candidate, CandidateKind } from '#shared/nat/candidate.ts'
import type { Path } from '#shared/nat/path-way.ts'
import { elapsed, type Instant } from '#shared/time/instant.ts'
import { type Endpoint, endpointText, isCarried } from '#shared/wire/endpoint.ts'
import type { DirectPeer } from './direct-peer.ts'
import type { Introducer } from './introducer.ts'

/** What is known of the ways to one other end, for people and scripts. */
export interface DirectStatus {
  readonly name: string
  /** `plain`: packets go through the hub without an association of their own. */
  readonly state: 'plain' | 'established'
  readonly path: WayStatus
  /** Whether what is said now is sealed end to end: on the relay only where one of the two has pinned a fleet key. */
  readonly endToEnd: boolean
  readonly sinceSeconds: number | null
  /** Why no better way is in use: a stable code and a sentence; null where there is no better one. */
  readonly why: { readonly code: string; readonly text: string } | null
  readonly ways: readonly WayStatus[]
}

export interface WayStatus {
  /** `relay`: through the hub. */
  readonly kind: Exclude<CandidateKind, 'overlay'> | 'relay'
  readonly endpoint: string | null
  readonly roundTripMs: number | null
}

export function directStatus(
  peer: DirectPeer,
  introducer: Introducer | undefined,
  { relayUp, reflexive }: { relayUp(): boolean; reflexive(): Endpoint | undefined },
  { ownPlaces, isStrict, now }: { ownPlaces: readonly Candidate[]; isStrict: boolean; now: Instant },
): DirectStatus {
  const established = peer.isEstablished
  return {
    name: peer.name,
    state: established ? 'established' : 'plain',
    path: established ? wayStatus(peer.paths.used) : { kind: 'relay', endpoint: null, roundTripMs: null },
    endToEnd: established && (isStrict || !isCarried(peer.paths.used.endpoint)),
    sinceSeconds: established && peer.usedSince !== undefined ? Math.round(elapsed(peer.usedSince, now) / 1000) : null,
    why: whyNotBetter(peer, introducer, { relayUp: relayUp(), seen: reflexive() !== undefined, ownPlaces, now }),
    ways: peer.paths.paths.map(wayStatus),
  }
}

const wayStatus = ({ kind, endpoint, roundTrip, lastAnswer }: Path): WayStatus => ({
  kind: kind === 'overlay' ? 'relay' : kind,
  endpoint: isCarried(endpoint) ? null : endpointText(endpoint),
  roundTripMs: lastAnswer === undefined || roundTrip === undefined ? null : Math.round(roundTrip * 10) / 10,
})

function whyNotBetter(
  peer: DirectPeer,
  introducer: Introducer | undefined,
  { relayUp, seen, ownPlaces, now }: { relayUp: boolean; seen: boolean; ownPlaces: readonly Candidate[]; now: Instant },
): DirectStatus['why'] {
  const { name } = peer
  if (peer.paths.isDirect) return null
  if (peer.wish === 'relay') return { code: 'relay-wished', text: 'The relay was asked for (--path relay).' }
  if (introducer?.refusal !== undefined)
    return { code: 'introduction-refused', text: `${name} refuses a direct association: ${introducer.refusal}` }
  if (!peer.isEstablished && introducer?.isAsking)
    return introducer.letters <= 2 && relayUp
      ? { code: 'introducing', text: `${name} was asked just now.` }
      : {
          code: 'introduction-unanswered',
          text: `${name} does not answer the introduction: its agent may be of an older version, or have no fleet key.`,
        }
  if (!peer.isEstablished) return { code: 'handshaking', text: `The handshake with ${name} is under way.` }
  if (peer.paths.isOnlySmall(now))
    return {
      code: 'small-packets-only',
      text: `The direct path to ${name} carries only small packets: some network between loses the large ones without a word.`,
    }
  if (peer.punch.isRunning) return { code: 'probing', text: 'Direct ways are being tried at this moment.' }
  if (peer.places.length === 0)
    return {
      code: 'no-places-there',
      text: `${name} names no place where it could be met: no UDP leaves its network, or its configuration says path = "relay".`,
    }
  if (ownPlaces.length === 0 && !seen)
    return { code: 'no-places-here', text: 'This machine knows no place where it could be met: no UDP leaves this network.' }
  if (!seen)
    return { code: 'udp-blocked-here', text: 'No UDP of this network reaches the broker, so nobody can say how its NAT maps it.' }
  if (peer.places.every(({ kind }) => kind === 'host'))
    return {
      code: 'udp-blocked-there',
      text: `No UDP of the network of ${name} reaches the broker, and it is in another network than this one.`,
    }
  return {
    code: 'nat',
    text: 'No probe passed between the two networks: one of their NATs maps by destination, or a firewall keeps UDP out.',
  }
}
