import { splitEndpoint } from '#broker/endpoint-text.ts'
import type { GatewayView } from '#broker/gateway/view.ts'
import type { NegotiationRecord, NegotiationStore } from '#broker/registry/negotiations.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** How much earlier than the peer was heard its failure may be: both come of one exchange. */
const slackMs = 5_000

/** Proposals and selectors shown: the rest is in `adit-broker negotiations`. */
const mostShown = 4

export interface FailedNegotiation {
  /** Whether it is known to be this peer's; else nobody said whose it is. */
  readonly certain: boolean
  readonly code: string
  readonly text: string
  readonly mend: string
}

/** The failure that keeps a device from connecting by IKE, or its Child SA from coming up; undefined where there is none since it was heard. */
export async function failedNegotiation(
  device: Principal,
  { registry, gateway }: { registry: { negotiations: Pick<NegotiationStore, 'lastOf'> }; gateway: Pick<GatewayView, 'presence'> },
  now: WallTime,
): Promise<FailedNegotiation | undefined> {
  const { state, since, lastAuthentic, endpoint } = gateway.presence(device)
  const heard = state === 'up' ? since : lastAuthentic
  const from = heard === undefined ? device.createdAt : heard - slackMs
  const found = await registry.negotiations.lastOf(device, { address: endpoint && splitEndpoint(endpoint)[0], since: from })
  // What has no name is a guess: worth it only for a peer that speaks IKE and is not there.
  if (found === undefined || (!found.certain && (device.ipsec === undefined || state === 'up'))) return undefined
  return { certain: found.certain, code: found.record.failure.code, ...words(device.name, found.record, found.certain, now) }
}

function words(
  name: string,
  { at, times, failure }: NegotiationRecord,
  certain: boolean,
  now: WallTime,
): { text: string; mend: string } {
  const { from, offered, allowed, nearest, message, mendHere, mendThere } = failure
  const when = `${Math.max(0, Math.round((now - at) / 1_000))} s ago${times > 1 ? ` (${times} times)` : ''}`
  const place = from === undefined ? '' : ` from ${from.address}`
  const who = certain
    ? `A negotiation of ${name}${place} failed ${when}`
    : `Somebody${place} who did not get as far as saying who it is failed ${when}`
  const proposals =
    nearest === undefined && offered.length + allowed.length > 0 ? ` Offered: ${list(offered)}; allowed: ${list(allowed)}.` : ''
  return {
    text: `${who}: ${sentence(message)}${proposals}`,
    mend: `${certain ? '' : `If that is ${name}: `}At ${name}: ${sentence(mendThere)} Or at the broker: ${sentence(mendHere)}`,
  }
}

const list = (texts: readonly string[]): string =>
  texts.length === 0 ? 'nothing' : `${texts.slice(0, mostShown).join(', ')}${texts.length > mostShown ? ', …' : ''}`

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)
