import { z } from 'zod'
import { checkLabels } from '#broker/registry/label.ts'
import type { Wish } from '#broker/registry/right.ts'
import { checkName, escapeText } from '#shared/enrolment/name.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { seconds } from '#shared/time/instant.ts'

/**
 * The pre-provisioning hook: a program or an HTTPS service of the fleet's owner that has the last word before anybody enrols. It reads
 * one question as JSON and answers with one verdict as JSON:
 *
 *   {"v": 1, "role": "device", "name": "pi-{n}", "serial": null, "key": "<SHA-256 of the SPKI, hex>", "right": "claim:0123456789abcdef",
 *    "address": "192.0.2.7", "tags": ["site:oslo"]}
 *   {"decision": "allow", "name": "pi-kitchen", "tags": ["approved"]}    or    {"decision": "deny", "reason": "not in the order book"}
 *
 * Whatever else happens (no answer in time, another exit status, other JSON, a name that is none) nobody enrols: it fails closed (P-33).
 */
export interface HookQuestion {
  readonly v: 1
  readonly role: string
  /** A name or a pattern with a counter; null: made from the key. */
  readonly name: string | null
  /** Proven or listed by the right, or else as the request says it; null: unknown. */
  readonly serial: string | null
  /** SHA-256 of the SPKI of the key to be certified, hex. */
  readonly key: string
  /** What kind of right, and which: `claim:0123456789abcdef`. */
  readonly right: string
  /** Where the request comes from. */
  readonly address: string
  /** What the right gives. */
  readonly tags: readonly string[]
}

/** Brings the question to the hook and its answer back, as text. Rejects where there is none within its time. */
export type HookRoad = (question: string) => Promise<string>

/** Questions with the hook at once, and questions that wait for it at most. */
const atOnce = 8
const queueLimit = 256
/** How long a question may wait for its turn. */
const longestWait = seconds(5)
const reasonLimit = 200

const verdict = z.union([
  z.object({ decision: z.literal('allow'), name: z.string().optional(), tags: z.array(z.string()).max(64).optional() }),
  z.object({ decision: z.literal('deny'), reason: z.string().default('') }),
])

export class Hook {
  readonly #road: HookRoad
  readonly #log: Log
  readonly #timers: Timers
  readonly #waiting: (() => void)[] = []
  #busy = 0

  constructor(road: HookRoad, log: Log, timers: Timers) {
    this.#road = road
    this.#log = log
    this.#timers = timers
  }

  /** What the hook wants otherwise. Throws AditError `enrolment-denied` with its reason, or `hook-failed`. */
  async ask(question: HookQuestion): Promise<Wish> {
    await this.#turn()
    try {
      return readVerdict(await this.#road(JSON.stringify(question)))
    } catch (error) {
      if (isAditError(error) && error.code === 'enrolment-denied') throw error
      const why = error instanceof Error ? error.message : String(error)
      this.#log.error({ why, right: question.right, key: question.key }, 'the enrolment hook gave no verdict: nobody enrols')
      throw failed(why, error)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#busy--
      else next()
    }
  }

  /** Whoever ends its question hands its turn over. */
  async #turn(): Promise<void> {
    if (this.#busy < atOnce) {
      this.#busy++
      return
    }
    if (this.#waiting.length >= queueLimit) throw failed('too many questions wait for it')
    await new Promise<void>((resolve, reject) => {
      const called = (): void => {
        timer.clear()
        resolve()
      }
      const timer = this.#timers.setTimer(longestWait, () => {
        this.#waiting.splice(this.#waiting.indexOf(called), 1)
        reject(failed('too many questions wait for it'))
      })
      this.#waiting.push(called)
    })
  }
}

function readVerdict(text: string): Wish {
  const parsed = verdict.safeParse(tryJson(text))
  if (!parsed.success) throw new Error('its answer is no verdict: {"decision": "allow"} or {"decision": "deny", "reason": …}')
  if (parsed.data.decision === 'deny') throw denied(parsed.data.reason)
  const { name, tags } = parsed.data
  return { ...(name !== undefined && { name: checkName(name) }), ...(tags !== undefined && { tags: checkLabels('tag', tags) }) }
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const denied = (reason: string): AditError =>
  new AditError(
    'enrolment-denied',
    `The fleet's enrolment hook does not let this in${reason.trim() === '' ? '' : `: ${escapeText(reason.trim()).slice(0, reasonLimit)}`}.`,
    'Ask whoever runs the fleet.',
  )

/** What went wrong is in the broker's log and audit; the asker is told that it is not its fault. */
const failed = (why: string, cause?: unknown): AditError =>
  new AditError(
    'hook-failed',
    "The broker cannot ask the fleet's enrolment hook at the moment, so nobody may enrol.",
    "Try again in a while; the broker's log says what is wrong with the hook.",
    { cause: cause ?? new Error(why) },
  )
