import type { DoorFact, Facts, Family, NameFact, TlsFact, UdpFact } from './facts.ts'

/** Lost of what was asked, in percent, from which on it is worth a line; of a handful of questions more, since chance weighs more there. */
const lossPercent = 25
const handfulLossPercent = 30
const handful = 20

/** An idle tunnel is silent for some minutes; what it heard before says nothing of now, seconds. */
const freshSeconds = 300

export const familyOf = (address: string): Family => (address.includes(':') ? 'IPv6' : 'IPv4')

/** The facts as the checks ask for them: questions that more than one check puts. */
export class Evidence {
  readonly facts: Facts
  /** Addresses that this machine has a way to. */
  readonly udp: readonly UdpFact[]
  /** Met directly, without a proxy. */
  readonly doors: readonly DoorFact[]
  readonly udpWorks: boolean
  readonly streamWorks: boolean
  /** The API, proven. */
  readonly apiWorks: boolean

  constructor(facts: Facts) {
    this.facts = facts
    this.udp = (facts.udp ?? []).filter(({ unreachable }) => !unreachable)
    this.doors = [...(facts.api ?? []), ...(facts.streams ?? [])].filter(
      ({ reached, proxied }) => reached !== 'unreachable' && proxied !== true,
    )
    this.udpWorks = this.udp.some(({ answered }) => answered > 0)
    this.apiWorks = (facts.api ?? []).some(isProven)
    this.streamWorks = (facts.streams ?? []).some((door) => door.status === 101)
  }

  /** The tunnel itself carries data, says the agent, on fresh evidence. */
  get tunnelUp(): boolean {
    const { agent } = this.facts
    if (agent?.kind !== 'running' || agent.tunnel !== 'up' || agent.health === 'down') return false
    return (agent.evidenceAgeSeconds ?? 0) <= freshSeconds
  }

  /** The tunnel had to leave UDP, which the agent tries again and again. */
  get ridesStream(): boolean {
    const { agent } = this.facts
    return agent?.kind === 'running' && agent.tunnel === 'up' && agent.carrier !== undefined && agent.carrier !== 'udp'
  }

  /** This machine has no identity of the fleet's yet. */
  get isStranger(): boolean {
    return this.facts.certificate === undefined && this.facts.agent === undefined
  }

  /** A way through a proxy was tried. */
  get isProxied(): boolean {
    return [...(this.facts.api ?? []), ...(this.facts.streams ?? [])].some(({ proxied }) => proxied === true)
  }

  /** Share of the small questions that came to nothing, where any came to something; and how many there were. */
  get loss(): { readonly percent: number; readonly sent: number } {
    const asked = this.udp.filter(({ answered }) => answered > 0)
    const sent = asked.reduce((sum, door) => sum + door.sent, 0)
    const answered = asked.reduce((sum, door) => sum + door.answered, 0)
    return { sent, percent: sent === 0 ? 0 : Math.round((100 * (sent - answered)) / sent) }
  }

  /** So many packets are lost that a silence means little. */
  get isLossy(): boolean {
    const { percent, sent } = this.loss
    return percent >= (sent >= handful ? lossPercent : handfulLossPercent)
  }

  /** Whether any packet came back from any address of the broker, whoever sent it. */
  get anyAnswer(): boolean {
    return this.udpWorks || this.udp.some(({ refused }) => refused) || this.doors.some(({ reached }) => reached !== 'silent')
  }

  /** Whether something was asked at all, so that silence means something. */
  get asked(): boolean {
    return this.udp.length + this.doors.length > 0
  }

  get names(): readonly NameFact[] {
    return this.facts.names ?? []
  }

  /** A resolver beyond this machine answers, so that a way out exists. */
  get resolverAnswers(): boolean {
    return this.names.some(({ outcome }) => outcome === 'answered' || outcome === 'not-found')
  }

  /** Whether this machine has a way out of its own network, as far as it is known. */
  get hasRoute(): boolean {
    const { routes, interfaces } = this.facts
    if (interfaces?.every(({ up, addresses }) => !up || addresses.length === 0)) return false
    return routes === undefined || routes.ipv4 || routes.ipv6
  }

  /** Whether an address was ever found for the broker, by DNS or by memory. */
  get hasAddress(): boolean {
    return (this.facts.udp ?? []).length + (this.facts.api ?? []).length > 0
  }

  /** What the doors that opened showed. */
  tlsOf<K extends TlsFact['kind']>(kind: K): { door: DoorFact; tls: Extract<TlsFact, { kind: K }> }[] {
    return this.doors.flatMap((door) =>
      door.tls?.kind === kind ? [{ door, tls: door.tls as Extract<TlsFact, { kind: K }> }] : [],
    )
  }
}

const isProven = ({ tls }: DoorFact): boolean => tls?.kind === 'proven'
