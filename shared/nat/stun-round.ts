import type { Suite } from '#shared/crypto/suite.ts'
import { after, type Instant, milliseconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { bindingRequestId, TRANSACTION_ID_LENGTH } from '#shared/wire/stun.ts'
import { type BindingResponse, type BindingWishes, encodeBindingRequest, readBindingResponse } from '#shared/wire/stun-binding.ts'

/** When a question is put again, ms after the first time; 5 % loss each way leave one in ten thousand unanswered. */
const REPEATS = [0, 400, 1_200, 2_400] as const
/** When silence counts as an answer. */
const PATIENCE = milliseconds(3_600)

/** Which socket a datagram leaves by. */
export type StunSocketName = 'first' | 'second'

export interface StunSend {
  readonly by: StunSocketName
  readonly datagram: Uint8Array
  readonly to: Endpoint
}

/** One question of a round. */
export interface StunQuestion {
  readonly by: StunSocketName
  readonly to: Endpoint
  readonly wishes: BindingWishes
  /** `loop`: goes to our own other socket, and its arrival there is what counts. `opener`: nothing is waited for. Else an answer. */
  readonly kind?: 'loop' | 'opener'
}

export interface StunHeard {
  readonly from: Endpoint
  /** Undefined where the question itself came round. */
  readonly response: BindingResponse | undefined
}

interface Asked {
  readonly question: StunQuestion
  readonly id: Uint8Array
  heard?: StunHeard
}

/** Questions that are put at the same time, each repeated until what it waits for comes or patience ends. */
export class StunRound {
  readonly #asked: readonly Asked[]
  readonly #sends: StunSend[] = []
  readonly #began: Instant
  #repeats = 0

  constructor(suite: Pick<Suite, 'random'>, questions: readonly StunQuestion[], now: Instant) {
    this.#asked = questions.map((question) => ({ question, id: suite.random(TRANSACTION_ID_LENGTH) }))
    this.#began = now
    this.expire(now)
  }

  takeSend(): StunSend | undefined {
    return this.#sends.shift()
  }

  /** What came for each question, in their order; undefined: silence, so far. */
  get heard(): readonly (StunHeard | undefined)[] {
    return this.#asked.map(({ heard }) => heard)
  }

  /** A datagram at one of the sockets; a stranger's changes nothing. */
  receive(by: StunSocketName, datagram: Uint8Array, from: Endpoint): void {
    for (const asked of this.#asked) {
      const { kind } = asked.question
      if (kind === 'loop') {
        const id = by === asked.question.by ? undefined : bindingRequestId(datagram)
        if (id?.every((byte, i) => byte === asked.id[i])) asked.heard ??= { from, response: undefined }
      } else if (kind === undefined && by === asked.question.by) {
        const response = readBindingResponse(datagram, asked.id)
        if (response) asked.heard ??= { from, response }
      }
    }
  }

  isOver(now: Instant): boolean {
    return this.#asked.every((asked) => !isMissing(asked)) || now >= after(this.#began, PATIENCE)
  }

  get deadline(): Instant {
    const next = REPEATS[this.#repeats]
    return after(this.#began, next === undefined ? PATIENCE : milliseconds(next))
  }

  /** Puts again what is due and not answered. */
  expire(now: Instant): void {
    while (this.#repeats < REPEATS.length && now >= this.deadline) {
      this.#repeats++
      for (const { question, id, heard } of this.#asked)
        if (heard === undefined)
          this.#sends.push({ by: question.by, to: question.to, datagram: encodeBindingRequest(id, question.wishes) })
    }
  }
}

const isMissing = ({ question, heard }: Asked): boolean => heard === undefined && question.kind !== 'opener'
