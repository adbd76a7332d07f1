import type { DoorFact, Facts, Family, NameFact, TlsFact, UdpFact } from './facts.ts'

export const familyOf = (address: string): Family => (address.includes(':') ? 'IPv6' : 'IPv4')

/** The facts as the checks ask for them: questions that more than one check puts. */
export class Evidence {
  readonly facts: Facts
  /** Addresses that this machine has a way to. */
  readonly udp: readonly UdpFact[]
  readonly doors: readonly DoorFact[]
  readonly udpWorks: boolean
  readonly streamWorks: boolean
  /** The API, proven. */
  readonly apiWorks: boolean

  constructor(facts: Facts) {
    this.facts = facts
    this.udp = (facts.udp ?? []).filter(({ unreachable }) => !unreachable)
    this.doors = [...(facts.api ?? []), ...(facts.streams ?? [])].filter(({ reached }) => reached !== 'unreachable')
    this.udpWorks = this.udp.some(({ answered }) => answered > 0)
    this.apiWorks = (facts.api ?? []).some(isProven)
    this.streamWorks = (facts.streams ?? []).some((door) => door.status === 101)
  }

  /** The tunnel itself carries data, says the agent, on fresh evidence. */
  get tunnelUp(): boolean {
    const { agent } = this.facts
    return agent?.kind === 'running' && agent.tunnel === 'up'
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
