import type { Suite } from '#shared/crypto/suite.ts'
import type { Deadline } from '#shared/machine.ts'
import { after, type Duration, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { TRANSACTION_ID_LENGTH } from '#shared/wire/stun.ts'
import type { StunAddress } from '#shared/wire/stun-address.ts'
import { encodeBindingRequest, readBindingAnswer, readBindingResponse } from '#shared/wire/stun-binding.ts'

/** Linux conntrack grants the long timeout only to a mapping that carried traffic both ways 2 s after it was made (DESIGN D7). */
const AGING = milliseconds(2_500)
/** When a question is put again, ms after the first time: 5 % loss each way leave one in a million unanswered. */
const REPEATS = [0, 300, 800, 1_500, 2_500, 3_600] as const
/** After the last repetition, at the least. */
const PATIENCE = seconds(2)

export type ProbeOutcome =
  | { kind: 'alive' }
  /** Nothing came in through it; the answers would have, `within` its last packet. */
  | { kind: 'dead'; within: Duration }
  /** Nobody answered at all: nothing is learnt. */
  | { kind: 'inconclusive' }
  /** It can never be learnt here: the server does not know RESPONSE-PORT, or the NAT has several public addresses or no fixed port. */
  | { kind: 'unknowable'; why: 'no-response-port' | 'address-pooling' | 'unstable-mapping' }

/** Which socket a datagram leaves by: that of the mapping under test, or the one that asks about it. */
export interface ProbeSend {
  readonly by: 'mapping' | 'asker'
  readonly datagram: Uint8Array
}

type Stage = 'opening' | 'trying' | 'settling' | 'aging' | 'silent' | 'asking' | 'done'

/**
 * One mapping of a NAT, made, aged, left in silence for `age`, and asked about from another socket: a STUN request with RESPONSE-PORT
 * (RFC 5780 §7.5) has the server answer *to the mapping*, so that the question refreshes nothing that it asks about.
 *
 *   opening --answer--> (trying: does RESPONSE-PORT work at all?) --> settling 2.5 s --> aging --answer--> silent --age--> asking --> done
 */
export class BindingProbe {
  readonly age: Duration
  readonly #suite: Pick<Suite, 'random'>
  readonly #tries: boolean
  readonly #sends: ProbeSend[] = []
  #stage: Stage = 'opening'
  #outcome: ProbeOutcome | undefined
  /** The question under way, and the one that the asking socket puts for itself beside it. */
  #id: Uint8Array
  #ownId: Uint8Array
  #askedAt: Instant
  #repeats = 0
  #dueAt: Instant
  #mapped: StunAddress | undefined
  /** Where the asking socket is seen. */
  #asker: StunAddress | undefined
  #lastSent: Instant
  #roundTrip = 0

  /** `tries`: finds out first, while the mapping is fresh, whether the server and this NAT lend themselves to the question. */
  constructor({ suite, age, tries }: { suite: Pick<Suite, 'random'>; age: Duration; tries: boolean }, now: Instant) {
    this.age = age
    this.#suite = suite
    this.#tries = tries
    this.#id = this.#ownId = suite.random(TRANSACTION_ID_LENGTH)
    this.#askedAt = this.#dueAt = this.#lastSent = now
    this.#begin('opening', now)
  }

  get outcome(): ProbeOutcome | undefined {
    return this.#outcome
  }

  get deadline(): Deadline | undefined {
    return this.#stage === 'done' ? undefined : { at: this.#dueAt, why: `binding probe of ${Math.round(this.age / 1000)} s` }
  }

  takeSend(): ProbeSend | undefined {
    return this.#sends.shift()
  }

  /** A datagram came to the mapping's socket. */
  mappingHeard(datagram: Uint8Array, now: Instant): void {
    const seen = readBindingAnswer(datagram, this.#id)
    if (seen === undefined) return
    if (this.#stage === 'opening' || this.#stage === 'aging') this.#exchanged(seen, now)
    else if (this.#stage === 'trying') this.#settle(now)
    else if (this.#stage === 'asking') this.#end({ kind: 'alive' })
  }

  /** A datagram came to the asking socket. */
  askerHeard(datagram: Uint8Array): void {
    if (this.#stage !== 'trying' && this.#stage !== 'asking') return
    this.#asker ??= readBindingAnswer(datagram, this.#ownId)
    const response = readBindingResponse(datagram, this.#id)
    if (response && 'refused' in response) this.#end({ kind: 'unknowable', why: 'no-response-port' })
  }

  expire(now: Instant): void {
    while (this.#stage !== 'done' && now >= this.#dueAt) {
      if (this.#stage === 'settling') this.#begin('aging', now)
      else if (this.#stage === 'silent') this.#begin('asking', now)
      else if (this.#repeats < REPEATS.length) this.#repeat(now)
      else this.#unanswered()
    }
  }

  #begin(stage: Stage, now: Instant): void {
    this.#stage = stage
    this.#id = this.#suite.random(TRANSACTION_ID_LENGTH)
    this.#ownId = this.#suite.random(TRANSACTION_ID_LENGTH)
    this.#asker = undefined
    this.#repeats = 0
    this.#askedAt = now
    this.#repeat(now)
  }

  #repeat(now: Instant): void {
    if (this.#stage === 'opening' || this.#stage === 'aging') {
      this.#lastSent = now
      this.#sends.push({ by: 'mapping', datagram: encodeBindingRequest(this.#id) })
    } else {
      const port = this.#mapped!.port
      this.#sends.push({ by: 'asker', datagram: encodeBindingRequest(this.#id, { responsePort: port }) })
      // Silence means death only where the asking socket itself is answered.
      if (this.#repeats > 0 && this.#asker === undefined)
        this.#sends.push({ by: 'asker', datagram: encodeBindingRequest(this.#ownId) })
    }
    this.#repeats++
    const next = REPEATS[this.#repeats]
    this.#dueAt = next === undefined ? after(now, this.#patience()) : after(this.#askedAt, milliseconds(next))
  }

  #patience(): Duration {
    return milliseconds(Math.max(PATIENCE, 2 * this.#roundTrip))
  }

  #exchanged(seen: StunAddress, now: Instant): void {
    const before = this.#mapped
    this.#roundTrip = elapsed(this.#lastSent, now)
    this.#mapped = seen
    if (before !== undefined && (before.port !== seen.port || before.address !== seen.address))
      this.#end({ kind: 'unknowable', why: 'unstable-mapping' })
    else if (this.#stage === 'aging') {
      this.#stage = 'silent'
      this.#dueAt = after(now, this.age)
    } else if (this.#tries) this.#begin('trying', now)
    else this.#settle(now)
  }

  #settle(now: Instant): void {
    this.#stage = 'settling'
    this.#dueAt = after(now, AGING)
  }

  #unanswered(): void {
    const asker = this.#asker
    if (asker === undefined) this.#end({ kind: 'inconclusive' })
    else if (asker.address !== this.#mapped?.address) this.#end({ kind: 'unknowable', why: 'address-pooling' })
    else if (this.#stage === 'trying') this.#end({ kind: 'unknowable', why: 'no-response-port' })
    else {
      const within = elapsed(this.#lastSent, after(this.#askedAt, milliseconds(this.#roundTrip + REPEATS[1])))
      this.#end({ kind: 'dead', within })
    }
  }

  #end(outcome: ProbeOutcome): void {
    this.#stage = 'done'
    this.#outcome = outcome
  }
}
