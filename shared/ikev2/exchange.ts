import { elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { explainTimeout } from './explain.ts'
import type { Generation } from './generation.ts'
import type { IkeState } from './ike-state.ts'
import type { Outstanding } from './request-window.ts'
import type { Task } from './task.ts'

/** A request that was sent so often without an answer is recorded, once: some ten seconds have passed. */
const TOLD_AFTER = 5
/**
 * A delete that nobody answers is repeated for so long, since the peer may have forgotten the SA and answer no more: of an association that
 * ends, some seconds; of an IKE SA that has a successor, as long as the other end lingers, which outlives a black-out.
 */
const ENDING_PATIENCE = seconds(8)
export const REPLACED_PATIENCE = seconds(45)

/**
 * A task for the current generation, begun at once where its window is free; while a message is being executed, after that, when
 * everything that the message changes has changed.
 */
export function enqueue(state: IkeState, task: Task, now: Instant): void {
  state.current.queue.push(task)
  if (!state.isExecuting) pump(state, state.current, now)
}

/** The same before all others that wait. What an answer leads to: it begins once that has been executed. */
export function enqueueFirst(state: IkeState, task: Task): void {
  state.current.queue.unshift(task)
}

/** Begins the next task that waits, if nothing is under way. */
export function pump(state: IkeState, generation: Generation, now: Instant): void {
  while (generation.secrets !== undefined && generation.requests.outstanding === undefined && state.state !== 'closed') {
    const task = generation.queue.shift()
    generation.active = task
    if (task === undefined) return
    const payloads = task.begin(generation, now)
    if (payloads !== undefined) {
      request(state, generation, task, payloads, now)
      return
    }
  }
}

function request(state: IkeState, generation: Generation, task: Task, payloads: readonly IkePayload[], now: Instant): void {
  const header = generation.header(task.exchange, generation.requests.nextId, false)
  const datagrams = seal(state, generation, header, payloads)
  generation.requests.sent(task.exchange, datagrams, now, task.to)
  send(state, generation.requests.outstanding)
}

/** Puts out datagrams of one message. `to`: undefined: along the present path. */
export function send(state: IkeState, message: Pick<Outstanding, 'datagrams' | 'to'> | undefined): void {
  if (message === undefined) return
  const { to, datagrams } = message
  for (const datagram of datagrams) state.emit(to === undefined ? { kind: 'send', datagram } : { kind: 'send', datagram, to })
}

/** Answers the request that is expected in this generation, which is executed by that. */
export function answer(
  state: IkeState,
  generation: Generation,
  exchange: number,
  payloads: readonly IkePayload[],
  to: Endpoint,
): void {
  const header = generation.header(exchange, generation.answers.expected, true)
  const datagrams = seal(state, generation, header, payloads)
  generation.answers.answered(datagrams, to)
  send(state, { datagrams, to })
}

function seal(
  state: IkeState,
  generation: Generation,
  header: ReturnType<Generation['header']>,
  payloads: readonly IkePayload[],
): Uint8Array[] {
  const limit = state.abilities.fragments ? state.context.settings.maxDatagram : undefined
  return generation.secrets!.envelope.seal(header, payloads, limit)
}

/** Repeats what is due in every generation, and notices the death of the peer. */
export function repeatDue(state: IkeState, now: Instant): void {
  for (const generation of [...state.generations]) {
    const outstanding = generation.requests.outstanding
    if (outstanding === undefined || now < outstanding.nextAt || state.state === 'closed') continue
    if (generation.standing !== 'current' || state.state === 'closing') {
      const isLast = generation === state.current
      const patience = isLast ? ENDING_PATIENCE : REPLACED_PATIENCE
      if (elapsed(outstanding.firstSentAt, now) < patience) repeat(state, generation, now)
      else if (isLast) state.end(state.closingWhy)
      else state.forget(generation)
      continue
    }
    const silence = elapsed(Math.max(outstanding.firstSentAt, state.heardAt) as Instant, now)
    const { patience } = state.context.settings
    if (patience !== undefined && silence >= patience) {
      state.end('dead')
      return
    }
    repeat(state, generation, now)
    state.emit({ kind: 'unanswered', sinceMs: silence, attempts: outstanding.attempts })
    if (outstanding.attempts === TOLD_AFTER && !state.wasRefused)
      state.fail(explainTimeout(stageOf(state), elapsed(outstanding.firstSentAt, now), outstanding.attempts, state))
  }
}

const stageOf = (state: IkeState): 'init' | 'auth' | 'child' =>
  state.state === 'established' ? 'child' : state.current.secrets === undefined ? 'init' : 'auth'

function repeat(state: IkeState, generation: Generation, now: Instant): void {
  send(state, generation.requests.repeat(now))
}

/** The path has come back after a silence: requests that had become rare are repeated at once. */
export function hasten(state: IkeState, now: Instant): void {
  for (const generation of state.generations) send(state, generation.requests.hasten(now))
}

/** The same whatever their age: they go out from another address of ours now. */
export function resendAll(state: IkeState, now: Instant): void {
  for (const generation of state.generations) send(state, generation.requests.moved(now))
}

/** When the earliest request is to be repeated. */
export function repetitionDue(state: IkeState): Instant | undefined {
  let first: Instant | undefined
  for (const { due } of state.generations) if (due !== undefined && (first === undefined || due < first)) first = due
  return first
}
