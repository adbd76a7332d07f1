import type { Deadline, Machine } from '#shared/machine.ts'
import { after, type Duration, type Instant, instant, milliseconds } from '#shared/time/instant.ts'
import type { Answer } from './introduction.ts'

export type IntroducerInput = { kind: 'ask' } | { kind: 'answer'; answer: Answer } | { kind: 'stop' } | { kind: 'time' }

export type IntroducerOutput =
  /** Write an introduction with this nonce, by every way that there is. */
  { kind: 'write'; nonce: Uint8Array } | { kind: 'introduced'; answer: Answer } | { kind: 'refused'; why: string }

/** Waits between two letters; the last one repeats. A refusal is final until the owner asks again, or this long. */
const waits: readonly Duration[] = [300, 500, 800, 1_200, 2_000, 4_000, 8_000, 15_000, 30_000].map(milliseconds)
const AFTER_REFUSAL = milliseconds(60_000)
/** Letters that may still be answered. */
const NONCES = 8

/**
 * The operator's half of an introduction: letters until one is answered, ever rarer, each with a nonce of its own, so that an answer is
 * to us, to now, and counts once.
 *
 *   silent --ask--> asking --answer--> silent        asking --refusal--> resting --a minute--> asking
 */
export class Introducer implements Machine<IntroducerInput, IntroducerOutput> {
  readonly #random: (length: number) => Uint8Array
  readonly #outputs: IntroducerOutput[] = []
  #nonces: Uint8Array[] = []
  #letters = 0
  #nextAt: Instant | undefined
  #refusal: string | undefined

  constructor(random: (length: number) => Uint8Array) {
    this.#random = random
  }

  get isAsking(): boolean {
    return this.#nextAt !== undefined
  }

  /** Letters since it was asked, and what the other end had against them. */
  get letters(): number {
    return this.#letters
  }

  get refusal(): string | undefined {
    return this.#refusal
  }

  handle(input: IntroducerInput, now: Instant): void {
    switch (input.kind) {
      case 'ask':
        this.#letters = 0
        this.#nextAt = now
        break
      case 'answer':
        this.#answered(input.answer, now)
        break
      case 'stop':
        this.#nextAt = undefined
        this.#nonces = []
    }
    if (this.#nextAt !== undefined && now >= this.#nextAt) this.#write(now)
  }

  poll(): IntroducerOutput | undefined {
    return this.#outputs.shift()
  }

  deadline(): Deadline | undefined {
    return this.#nextAt === undefined ? undefined : { at: this.#nextAt, why: 'introduction to a device' }
  }

  #write(now: Instant): void {
    const nonce = this.#random(8)
    this.#nonces = [...this.#nonces.slice(1 - NONCES), nonce]
    this.#outputs.push({ kind: 'write', nonce })
    const wait = waits[Math.min(this.#letters, waits.length - 1)]!
    this.#letters++
    this.#nextAt = after(now, milliseconds(wait * (0.9 + this.#random(1)[0]! / 1_275)))
  }

  #answered(answer: Answer, now: Instant): void {
    if (!this.#nonces.some((nonce) => nonce.every((byte, i) => byte === answer.nonce[i]))) return
    this.#nonces = []
    this.#refusal = answer.refusal
    if (answer.refusal === undefined) {
      this.#nextAt = undefined
      this.#outputs.push({ kind: 'introduced', answer })
    } else {
      this.#nextAt = instant(now + AFTER_REFUSAL)
      this.#outputs.push({ kind: 'refused', why: answer.refusal })
    }
  }
}
