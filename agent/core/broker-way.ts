import type { Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { type Deadline, soonest } from '#shared/machine.ts'
import { type KeepaliveInput, NatKeepalive } from '#shared/nat/keepalive.ts'
import { type Duration, elapsed, type Instant } from '#shared/time/instant.ts'
import type { Association, PeerEndpoint } from '#shared/tunnel/association.ts'
import { copyEndpoint, type Endpoint, isCarried, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { StunAddress } from '#shared/wire/stun-address.ts'
import type { AgentPorts } from './agent-events.ts'
import { BrokerSearch } from './broker-search.ts'
import type { PathState } from './path-health.ts'
import type { Repair } from './repair-ladder.ts'
import { borrowScratch, returnScratch } from './scratch.ts'
import { StunQuestions } from './stun-questions.ts'
import { UdpReturn } from './udp-return.ts'

export interface BrokerWayPorts {
  /** The agent's own: sends questions and keepalives, makes sockets, tells what the owner has to do. */
  readonly ports: Pick<AgentPorts, 'send' | 'rebind' | 'event'>
  /** The association with the broker, which the endpoint knows. */
  association(): Association | undefined
  readonly endpoint: PeerEndpoint
  /** Send an authenticated probe there, beside the way in use; on the way in use where nothing is named. */
  probe(beside?: Endpoint): void
  /** A question was answered on the way in use. */
  answered(roundTrip: Duration | undefined): void
  /** What the way in use was measured to take; 0: nothing is known. */
  roundTrip(): Duration
  /** Nobody answers questions there: the way may not be what it was. */
  silent(): void
}

const SENT_GRAIN_MS = 1_000
/** So long after an authentic packet its session is taken to live: a probe through it tells our new place as well as a handshake does. */
const LIVES_MS = 10_000
const SENT = { kind: 'sent' } as const
const TRAFFIC = { kind: 'traffic' } as const

/**
 * Which way leads to the broker: the search for it, the NAT mapping of the way in use, where the broker sees us there, and the return to
 * UDP from a way that is none.
 */
export class BrokerWay {
  readonly #ports: BrokerWayPorts
  readonly #search: BrokerSearch
  readonly #return: UdpReturn
  readonly #questions: StunQuestions
  readonly #keepalive: NatKeepalive
  /** The way in use, as far as it has been taken up; where the broker sees us on it. */
  #inUse: Endpoint | undefined
  #reflexive: StunAddress | undefined
  #sentAt: Instant | undefined
  #sleeps = false

  constructor(suite: Suite, ports: BrokerWayPorts) {
    this.#ports = ports
    this.#search = new BrokerSearch(suite)
    this.#return = new UdpReturn(suite)
    this.#questions = new StunQuestions(suite)
    this.#keepalive = new NatKeepalive({ suite })
  }

  get searching(): boolean {
    return this.#search.searching
  }

  get resting(): boolean {
    return this.#search.resting
  }

  /** Where a search begins. */
  get first(): Endpoint | undefined {
    return this.#search.first
  }

  /** The way that carries data. */
  get inUse(): Endpoint | undefined {
    return this.#inUse
  }

  get reflexive(): StunAddress | undefined {
    return this.#reflexive
  }

  /** Between two keepalives. */
  get interval(): Duration {
    return this.#keepalive.interval
  }

  /** What the keepalive is to know: intervals and sleep. */
  hold(input: Extract<KeepaliveInput, { kind: 'interval' | 'learned' | 'sleep' }>, now: Instant): void {
    if (input.kind === 'sleep') this.#sleeps = input.poll !== undefined
    this.#keepalive.handle(input, now)
  }

  /** Seals an inner packet and sends it, `beside` the way in use where that is named. Returns 0 or a negative DropReason. */
  carry(packet: Uint8Array, now: Instant, beside?: Endpoint): number {
    const association = this.#ports.association()
    if (association === undefined) return DropReason.NoSession
    if (this.#sleeps) this.#keepalive.handle(TRAFFIC, now)
    const out = borrowScratch()
    const length = association.seal(packet, packet.length, out, now)
    const to = beside ?? association.endpoint
    if (length >= 0 && to) this.transmit(out.subarray(0, length), to, now)
    returnScratch(out)
    return Math.min(length, 0)
  }

  /** Whatever goes out holds the mapping; once a second is enough to know. */
  transmit(datagram: Uint8Array, to: Endpoint, now: Instant): void {
    if (this.#sentAt === undefined || elapsed(this.#sentAt, now) >= SENT_GRAIN_MS) {
      this.#sentAt = now
      this.#keepalive.handle(SENT, now)
    }
    this.#ports.ports.send(datagram, to)
  }

  setEndpoints(endpoints: readonly Endpoint[], preferred: Endpoint | undefined): void {
    this.#search.setEndpoints(endpoints, preferred)
    this.#return.setEndpoints(endpoints)
  }

  /** Whether the owner has named it. */
  knows(endpoint: Endpoint): boolean {
    return this.#search.endpoints.some((known) => sameEndpoint(known, endpoint))
  }

  /** Whether an authentic packet from there may end the search. */
  accepts(from: Endpoint): boolean {
    return this.#search.accepts(from)
  }

  /** Looks for the broker; what does not carry data, where it is known, is tried last. */
  seek(now: Instant, useless?: Endpoint): void {
    if (useless !== undefined) this.#search.demote(useless)
    this.#search.begin(now)
    this.#searchOn(now)
  }

  /**
   * We may be elsewhere: what the last network did not let through is tried again. A way that is no UDP stays in use meanwhile, and UDP
   * is asked whether it is back.
   */
  moved(now: Instant): void {
    this.#search.forgive()
    this.#return.hurry(now)
    if (this.#inUse === undefined || !isCarried(this.#inUse)) this.seek(now)
    else {
      this.#return.expire(now)
      this.#climb(now)
    }
  }

  found(endpoint: Endpoint): void {
    this.#search.found(endpoint)
  }

  /**
   * The association's datagrams go to `endpoint`; true where that is another way than before. Between UDP and other ways we alone
   * choose: a packet that was under way when we left does not bring us back. Only UDP has a mapping to hold, and nowhere to return to.
   */
  use(endpoint: Endpoint, now: Instant): boolean {
    const better = this.#insteadOf(endpoint)
    const association = this.#ports.association()
    if (better !== undefined && association !== undefined) {
      this.#ports.endpoint.setEndpoint(association, better, now)
      return false
    }
    if (sameEndpoint(endpoint, this.#inUse)) return false
    this.#inUse = copyEndpoint(endpoint)
    this.#return.use(endpoint, now)
    this.#keepalive.handle({ kind: isCarried(endpoint) ? 'stop' : 'start' }, now)
    this.#keepMapping(now)
    return true
  }

  /** There is no way in use any more. */
  leave(now: Instant): void {
    this.#inUse = undefined
    this.#return.stop()
    this.#keepalive.handle({ kind: 'stop' }, now)
  }

  /** For good. */
  stop(now: Instant): void {
    this.#search.stop()
    this.leave(now)
  }

  /** Asks where we come from, on the way in use. */
  ask(now: Instant): void {
    const endpoint = this.#ports.association()?.endpoint
    if (endpoint !== undefined && !isCarried(endpoint)) this.#ports.ports.send(this.#questions.ask(endpoint, now), endpoint)
  }

  /** Says so much that the broker trusts our place. */
  confirm(now: Instant): void {
    const association = this.#ports.association()
    if (association !== undefined) this.#ports.endpoint.sendKeepalive(association, now)
  }

  /** A way of `state` is to be mended. */
  repair(repair: Repair, state: PathState, now: Instant): void {
    const endpoint = this.#ports.association()?.endpoint
    if (endpoint === undefined) return
    if (repair === 'search' || isCarried(endpoint)) this.seek(now, state === 'down' ? undefined : endpoint)
    else {
      this.#ports.ports.rebind?.()
      this.#handshake(now)
      this.ask(now)
    }
  }

  /** A binding answer, of whoever asked. */
  answer(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    const answer = this.#questions.take(datagram, from, now)
    if (answer === undefined) {
      const { answeredAt } = this.#keepalive
      this.#keepalive.handle({ kind: 'stun', datagram }, now)
      if (this.#keepalive.answeredAt !== answeredAt) this.#ports.answered(undefined)
      this.#keepMapping(now)
      return
    }
    const { endpoint, address, roundTrip } = answer
    this.#search.answered(endpoint, now)
    this.#searchOn(now)
    this.#return.answered(endpoint, roundTrip, now)
    this.#climb(now)
    if (!sameEndpoint(endpoint, this.#inUse)) return
    this.#ports.answered(roundTrip)
    if (this.#isNews(address)) this.#tellPlace(now)
  }

  expire(now: Instant): void {
    this.#searchOn(now)
    if (this.#inUse === undefined) return
    this.#return.expire(now)
    this.#climb(now)
    this.#keepalive.handle({ kind: 'round-trip', roundTrip: this.#ports.roundTrip() }, now)
    this.#keepalive.handle({ kind: 'time' }, now)
    this.#keepMapping(now)
  }

  deadline(): Deadline | undefined {
    const search = dueFor(this.#search.deadline(), 'search the broker')
    if (this.#inUse === undefined) return search
    return soonest(search, soonest(dueFor(this.#return.deadline(), 'is UDP back?'), this.#keepalive.deadline()))
  }

  #searchOn(now: Instant): void {
    const { endpoint, ports } = this.#ports
    for (let step = this.#search.step(now); step !== undefined; step = this.#search.step(now)) {
      const association = this.#ports.association()
      if (association === undefined) return
      if (step.kind === 'try') {
        const stays = sameEndpoint(association.endpoint, step.endpoint)
        // At the same place the association's own schedule goes on.
        if (stays && association.state === 'handshaking') continue
        if (!stays) endpoint.setEndpoint(association, step.endpoint, now)
        endpoint.initiate(association, now)
      } else if (step.kind === 'ask') ports.send(this.#questions.ask(step.endpoint, now), step.endpoint)
      else if (step.kind === 'rest') association.reset()
      else ports.event(step)
    }
  }

  #climb(now: Instant): void {
    for (let step = this.#return.poll(); step !== undefined; step = this.#return.poll()) {
      if (step.kind === 'ask') this.#ports.ports.send(this.#questions.ask(step.endpoint, now), step.endpoint)
      else this.#ports.probe(step.kind === 'probe' ? step.endpoint : undefined)
    }
  }

  /** Keepalives and questions go where the broker is; an answer that shows us moved, or none, has the broker told. */
  #keepMapping(now: Instant): void {
    let isNews = false
    for (let output = this.#keepalive.poll(); output !== undefined; output = this.#keepalive.poll()) {
      const to = this.#ports.association()?.endpoint
      if (output.kind === 'send' && to !== undefined && !isCarried(to)) this.#ports.ports.send(output.datagram, to)
      else if (output.kind === 'binding-lost') this.#ports.ports.event(output)
      else if (output.kind === 'reflexive') isNews = this.#isNews(output.address)
      else if (output.kind === 'handshake-now') {
        if (output.why === 'silent') {
          this.#ports.silent()
          this.#handshake(now)
        } else if (isNews) this.#tellPlace(now)
      }
    }
  }

  /** Notes where the broker sees us; whether that is elsewhere than before. */
  #isNews(address: StunAddress): boolean {
    const before = this.#reflexive
    this.#reflexive = address
    return before !== undefined && (before.address !== address.address || before.port !== address.port)
  }

  /** Where the association is to be instead, if it is not to be there. */
  #insteadOf(endpoint: Endpoint): Endpoint | undefined {
    if (this.#search.searching) return this.#search.accepts(endpoint) ? undefined : this.#search.current
    const isOfOtherKind = this.#inUse !== undefined && isCarried(this.#inUse) !== isCarried(endpoint)
    return isOfOtherKind && !this.#return.tries(endpoint) ? this.#inUse : undefined
  }

  /** The broker is to learn from an authentic packet where we are now; whether that helped, the probe's answer says. */
  #tellPlace(now: Instant): void {
    const heard = this.#ports.association()?.lastAuthentic
    if (heard !== undefined && elapsed(heard, now) < LIVES_MS) this.#ports.probe()
    else this.#handshake(now)
  }

  #handshake(now: Instant): void {
    const association = this.#ports.association()
    if (association !== undefined) this.#ports.endpoint.initiate(association, now)
  }
}

const dueFor = (at: Instant | undefined, why: string): Deadline | undefined => (at === undefined ? undefined : { at, why })
