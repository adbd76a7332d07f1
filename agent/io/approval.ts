import { AditError, isAditError } from '#shared/errors.ts'
import { pause } from '#shared/platform/pause.ts'
import type { Timers } from '#shared/platform/timers.ts'
import type { HttpsResponse } from '#shared/platform/tls.ts'
import { type Duration, hours, seconds } from '#shared/time/instant.ts'

const shortest = seconds(1)
const longest = hours(1)
/** Where the broker does not say when to ask again. */
const usual = seconds(60)

/** The broker has taken the request, and a person is to say yes to it (RFC 7030 §4.2.3: status 202). */
export class ApprovalPending extends AditError {
  /** What the person types. */
  readonly request: number | undefined
  /** Fingerprint of our key, as the person sees it. */
  readonly key: string | undefined
  readonly retryAfter: Duration

  constructor({ headers, body }: Pick<HttpsResponse, 'headers' | 'body'>) {
    const { request, key } = documentIn(body)
    const words = request === undefined ? 'The request waits for a person' : `Request ${request} waits for a person`
    super(
      'enrolment-waiting',
      `${words}${key === undefined ? '' : `; its key is ${key}`}.`,
      `On the broker: adit-broker enrolments approve ${request ?? 'REQUEST'}.`,
    )
    this.request = request
    this.key = key
    this.retryAfter = retryAfterIn(headers['retry-after'])
  }
}

export interface ApprovalPorts {
  readonly timers: Timers
  /** At the first answer, and whenever it is another one. */
  readonly onWaiting: (pending: ApprovalPending) => Promise<void> | void
  readonly stopped?: AbortSignal | undefined
}

/**
 * Asks until a person has decided: again when the broker said to. Once it has said that the request waits, a broker that is away for a while
 * ends nothing. Throws what `ask` throws, and the last ApprovalPending where it is stopped.
 */
export async function untilApproved<T>(ask: () => Promise<T>, { timers, onWaiting, stopped }: ApprovalPorts): Promise<T> {
  let pending: ApprovalPending | undefined
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof ApprovalPending) {
        if (error.message !== pending?.message) await onWaiting(error)
        pending = error
      } else if (pending === undefined || !isPassing(error)) throw error
    }
    await pause(timers, pending.retryAfter, stopped)
    if (stopped?.aborted) throw pending
  }
}

/** What is over when the broker is back. */
const isPassing = (error: unknown): boolean => isAditError(error) && passing.has(error.code)
const passing = new Set<string>(['broker-unreachable', 'hook-failed', 'rate-limited', 'storage-failed', 'disk-full'])

/** Seconds. A date would be judged by a clock that may be wrong: then the usual pause. */
function retryAfterIn(text: string | undefined): Duration {
  const span = /^\d{1,9}$/.test(text ?? '') ? seconds(Number(text)) : usual
  return Math.min(Math.max(span, shortest), longest) as Duration
}

/** Of our own broker; another EST server's words are for people. */
function documentIn(body: Uint8Array): { request?: number; key?: string } {
  try {
    const { request, key } = JSON.parse(Buffer.from(body).toString('utf8')) as { request?: unknown; key?: unknown }
    return {
      ...(Number.isSafeInteger(request) && { request: request as number }),
      ...(typeof key === 'string' && /^[0-9a-f ]{1,80}$/.test(key) && { key }),
    }
  } catch {
    return {}
  }
}
