import type { Suite } from '#shared/crypto/suite.ts'
import type { Deadline, Machine } from '#shared/machine.ts'
import type { Instant } from '#shared/time/instant.ts'
import { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { StunAddress } from '#shared/wire/stun-address.ts'
import type { BindingAnswer, StunChange } from '#shared/wire/stun-binding.ts'
import { type Dependence, filteringKinds, mappingKinds, type Seen } from './behaviour-verdict.ts'
import { type StunHeard, type StunQuestion, StunRound, type StunSend, type StunSocketName } from './stun-round.ts'

/** Room for every attribute of RFC 5780 with addresses of IPv6: 20 + 4 * 24 bytes. */
const QUESTION_LENGTH = 116

/**
 * What is known of the NAT between here and the servers, in the words of RFC 4787. What could not be learnt is left open: lists name the
 * kinds that fit what was seen, and `undefined` says that nothing was.
 */
export interface NatBehaviour {
  /** Where the first server that answered sees the first socket; undefined: none answered, and nothing else is known. */
  readonly reflexive: StunAddress | undefined
  /** Whether our address is translated; undefined where we do not know our own. */
  readonly translated: boolean | undefined
  /** How the mapping depends on the destination (§4.1): one kind, or those that fit. Empty without a NAT. */
  readonly mapping: readonly Dependence[]
  /** Whom the filter lets in (§5), likewise; a firewall without NAT has one too. */
  readonly filtering: readonly Dependence[]
  /** Whether the outer port is the inner one (§4.2.1), of both sockets. */
  readonly portPreservation: boolean | undefined
  /** Whether both sockets have the same outer address (§4.1, REQ-2). */
  readonly pairedPooling: boolean | undefined
  /** Whether two sockets behind it reach each other by their outer addresses (§6). */
  readonly hairpinning: boolean | undefined
  /** What was not learnt, and why, in sentences for people. */
  readonly unlearnt: readonly string[]
}

export type BehaviourInput = { kind: 'datagram'; by: StunSocketName; datagram: Uint8Array; from: Endpoint } | { kind: 'time' }

export type BehaviourOutput = ({ kind: 'send' } & StunSend) | { kind: 'done'; behaviour: NatBehaviour }

/** One of our sockets; without an address where only the port is known. */
export interface OwnSocket {
  readonly address?: string | undefined
  readonly port: number
}

export interface BehaviourOptions {
  readonly suite: Pick<Suite, 'random'>
  /** STUN servers of one family, the best first; the others are further places from which to be seen. */
  readonly servers: readonly Endpoint[]
  readonly local: Readonly<Record<StunSocketName, OwnSocket>>
}

/**
 * Finds out what kind of NAT there is (RFC 5780 §4.2-§4.5), by two sockets of its own.
 *
 *   reflexive   both sockets ask the first server; where it is silent, the next one
 *   tests       the first socket asks it to answer from its other address, and from its other port (filtering)
 *               the second socket asks every other place (mapping)
 *               each sends to the other's outer address (hairpinning)
 *
 * Filter and mapping are tried by different sockets: a question to the other address would open the filter for its answers, and answers
 * that a filter refused may keep the outer port from being used towards where they came from (Linux). At most 3.6 s a stage.
 */
export class BehaviourDiscovery implements Machine<BehaviourInput, BehaviourOutput> {
  readonly #suite: Pick<Suite, 'random'>
  readonly #local: BehaviourOptions['local']
  readonly #outputs: BehaviourOutput[] = []
  /** Servers that have not been asked to be the first one. */
  readonly #servers: Endpoint[]
  #stage: 'reflexive' | 'tests' | 'done' = 'reflexive'
  #round: StunRound
  #primary: Endpoint | undefined
  #first: BindingAnswer | undefined
  #second: BindingAnswer | undefined
  #places: readonly Endpoint[] = []

  constructor({ suite, servers, local }: BehaviourOptions, now: Instant) {
    this.#suite = suite
    this.#local = local
    this.#servers = [...servers]
    this.#round = new StunRound(suite, [], now)
    this.#askNextServer(now)
  }

  handle(input: BehaviourInput, now: Instant): void {
    if (this.#stage === 'done') return
    if (input.kind === 'datagram') this.#round.receive(input.by, input.datagram, input.from)
    this.#round.expire(now)
    this.#drain()
    if (!this.#round.isOver(now)) return
    if (this.#stage === 'reflexive') this.#reflexiveOver(now)
    else this.#testsOver()
  }

  poll(): BehaviourOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    return this.#stage === 'done' ? undefined : { at: this.#round.deadline, why: `NAT discovery: ${this.#stage}` }
  }

  #askNextServer(now: Instant): void {
    this.#primary = this.#servers.shift()
    if (this.#primary === undefined) this.#finish(unreachable)
    else this.#begin('reflexive', [question('first', this.#primary), question('second', this.#primary)], now)
  }

  #reflexiveOver(now: Instant): void {
    const [first, second] = this.#round.heard.map(answerOf)
    if (first?.mapped === undefined) {
      this.#askNextServer(now)
      return
    }
    this.#first = first
    this.#second = second
    const { other } = first
    const { port } = this.#primary!
    const all: Endpoint[] = [...(other ? [{ address: other.address, port }, other] : []), ...this.#servers]
    this.#places = all.filter(
      (place, i) => !sameEndpoint(place, this.#primary) && all.findIndex((a) => sameEndpoint(a, place)) === i,
    )
    const filtering = [elsewhere, otherPort].map((change) => question('first', this.#primary!, change))
    const mapping = this.#places.map((place) => question('second', place))
    this.#begin('tests', [...filtering, ...(second?.mapped ? mapping : []), ...this.#hairpin()], now)
  }

  /** What our second socket sends to the first opens the filter for what is to come the other way. */
  #hairpin(): StunQuestion[] {
    const first = this.#first!.mapped
    const second = this.#second?.mapped
    if (first === undefined || second === undefined || this.#isTranslated === false) return []
    return [
      { ...question('second', first), kind: 'opener' },
      { ...question('first', second), kind: 'loop' },
    ]
  }

  get #isTranslated(): boolean | undefined {
    const { address, port } = this.#local.first
    return address === undefined ? undefined : !sameEndpoint({ address, port }, this.#first!.mapped)
  }

  #testsOver(): void {
    const [byElsewhere, byOtherPort, ...heard] = this.#round.heard
    const mapped = this.#first!.mapped!
    const second = this.#second?.mapped
    const answers = this.#places.map((at, i) => ({ at, mapped: second && answerOf(heard[i])?.mapped }))
    const seen: Seen[] = [{ at: this.#primary!, mapped: second ?? mapped }, ...answers].filter(
      (one): one is Seen => one.mapped !== undefined,
    )
    const translated = this.#isTranslated
    const mapping = translated === false ? [] : mappingKinds(seen)
    const filtering = this.#filtering(byElsewhere, byOtherPort)
    // A mapping that is kept for its one destination lets nobody else in: whether it would be turned round is not to be seen.
    const isHidden = !isOnly(mapping, 'endpoint-independent') && !isOnly(filtering, 'endpoint-independent')
    const isHairpinTried = second !== undefined && heard.length > this.#places.length
    const cameRound = isHairpinTried && heard.at(-1) !== undefined
    const hairpinning = !isHairpinTried || (isHidden && !cameRound) ? undefined : cameRound
    const keepsPort = mapped.port === this.#local.first.port && (second === undefined || second.port === this.#local.second.port)
    this.#finish({
      reflexive: mapped,
      translated,
      mapping,
      filtering,
      portPreservation: translated === false ? undefined : keepsPort,
      pairedPooling: second && second.address === mapped.address,
      hairpinning,
      unlearnt: [
        ...(mapping.length > 1 ? [whyNoMapping(seen)] : []),
        ...(filtering.length > 1 ? ['How it filters: no server that was asked answers from a second address.'] : []),
        ...(isHairpinTried && hairpinning === undefined ? ['Hairpinning: its mappings and filter hide it.'] : []),
      ],
    })
  }

  #filtering(byElsewhere: StunHeard | undefined, byOtherPort: StunHeard | undefined): readonly Dependence[] {
    const { address, port } = this.#primary!
    const { other, origin } = this.#first!
    // Only of a server that has said where else it is does silence mean that the filter swallowed the answer.
    const isAble = other !== undefined || origin !== undefined
    const isElsewhere = (from: Endpoint): boolean => from.address !== address && from.port !== port
    return filteringKinds(
      arrived(byElsewhere, other !== undefined, isElsewhere),
      arrived(byOtherPort, isAble, (from) => from.address === address && from.port !== port),
    )
  }

  #begin(stage: 'reflexive' | 'tests', questions: readonly StunQuestion[], now: Instant): void {
    this.#stage = stage
    this.#round = new StunRound(this.#suite, questions, now)
    this.#drain()
  }

  #drain(): void {
    for (let send = this.#round.takeSend(); send !== undefined; send = this.#round.takeSend())
      this.#outputs.push({ kind: 'send', ...send })
  }

  #finish(behaviour: NatBehaviour): void {
    this.#stage = 'done'
    this.#outputs.push({ kind: 'done', behaviour })
  }
}

const elsewhere: StunChange = { address: true, port: true }
const otherPort: StunChange = { address: false, port: true }

const question = (by: StunSocketName, to: Endpoint, change?: StunChange): StunQuestion => ({
  by,
  to,
  wishes: { length: QUESTION_LENGTH, change },
})

const answerOf = (heard: StunHeard | undefined): BindingAnswer | undefined =>
  heard?.response && 'mapped' in heard.response ? heard.response : undefined

/** Whether the answer came from where it was asked to; undefined where a server would not, or not so, answer. */
function arrived(heard: StunHeard | undefined, isAble: boolean, isRight: (from: Endpoint) => boolean): boolean | undefined {
  if (heard === undefined) return isAble ? false : undefined
  return answerOf(heard) !== undefined && isRight(heard.from) ? true : undefined
}

const isOnly = (kinds: readonly Dependence[], kind: Dependence): boolean => kinds.length === 1 && kinds[0] === kind

const whyNoMapping = (seen: readonly Seen[]): string =>
  seen.length < 2
    ? 'How it maps: only one place answered, and two are needed.'
    : 'How it maps to other addresses: all places that answered have the same one.'

const unreachable: NatBehaviour = {
  reflexive: undefined,
  translated: undefined,
  mapping: mappingKinds([]),
  filtering: filteringKinds(undefined, undefined),
  portPreservation: undefined,
  pairedPooling: undefined,
  hairpinning: undefined,
  unlearnt: ['Everything: no STUN server answered.'],
}
