import type { LineCount, LineEvent, UnitStep, WayKind } from '#agent/station/line-event.ts'

/** What a screen remembers of a line: pure, one event after another. Times in wall-clock ms. */
export interface LineState {
  /** When the screen was opened. */
  readonly since: number
  readonly count: LineCount
  /** Units that have been begun and are neither done nor failed, the oldest first. */
  readonly inHand: readonly UnitInHand[]
  /** The last failures, the newest first; a unit that is delivered after all leaves them. */
  readonly failures: readonly Failure[]
  /** When units were delivered, within the last `RATE_WINDOW`, each serial once. */
  readonly deliveries: ReadonlyMap<string, number>
  readonly verdict: Verdict | undefined
}

export interface UnitInHand {
  readonly serial: string
  readonly name: string
  readonly way: WayKind
  readonly step: UnitStep
  /** 0 to 1. */
  readonly progress: number | undefined
  /** When it was begun. */
  readonly since: number
}

export interface Failure {
  readonly at: number
  readonly serial: string
  readonly name: string
  readonly code: string
  readonly detail: string
  readonly mend: string
}

/** How the last unit ended. */
export interface Verdict {
  /** 1, 2, 3 …: another number is another unit's end. */
  readonly number: number
  readonly pass: boolean
  readonly at: number
  readonly serial: string
  readonly name: string
}

/** The rate is that of so long, or since the screen was opened. */
export const RATE_WINDOW = 15 * 60_000
/** A rate of fewer ms says nothing. */
const leastWindow = 60_000
const failuresKept = 5
/** More units at once are counted and not shown. */
const inHandKept = 64

export const beginLine = (count: LineCount, now: number): LineState => ({
  since: now,
  count,
  inHand: [],
  failures: [],
  deliveries: new Map(),
  verdict: undefined,
})

export const withCount = (state: LineState, count: LineCount): LineState => ({ ...state, count })

export function afterEvent(state: LineState, event: LineEvent): LineState {
  const { serial, name, way, step, at } = event
  const others = state.inHand.filter((unit) => unit.serial !== serial)
  const verdict = (pass: boolean): Verdict => ({ number: (state.verdict?.number ?? 0) + 1, pass, at, serial, name })
  if (step === 'delivered') {
    const deliveries = new Map([...state.deliveries].filter(([, when]) => when > at - RATE_WINDOW))
    deliveries.set(serial, at)
    const failures = state.failures.filter((failure) => failure.serial !== serial)
    return { ...state, inHand: others, failures, deliveries, verdict: verdict(true) }
  }
  if (step === 'failed') {
    const failure = { at, serial, name, code: event.code ?? 'internal', detail: event.detail ?? '', mend: event.mend ?? '' }
    const failures = [failure, ...state.failures.filter((one) => one.serial !== serial)].slice(0, failuresKept)
    return { ...state, inHand: others, failures, verdict: verdict(false) }
  }
  if (step === 'scrapped') {
    return { ...state, inHand: others, failures: state.failures.filter((failure) => failure.serial !== serial) }
  }
  // A label that is printed belongs to a unit that is done.
  if (step === 'labelled') return state
  const since = state.inHand.find((unit) => unit.serial === serial)?.since ?? at
  const unit = { serial, name, way, step, progress: event.progress, since }
  return { ...state, inHand: [...others, unit].sort((a, b) => a.since - b.since).slice(0, inHandKept) }
}

/** What a screen shows of a state at one moment; sent as it is to the tablet's page. */
export interface LineView {
  readonly station: string
  /** Units an hour; null as long as nothing can be said. */
  readonly perHour: number | null
  readonly planned: number | null
  readonly delivered: number
  readonly failed: number
  readonly scrapped: number
  readonly quotaLeft: number
  /** End of the delegation, ISO. */
  readonly until: string
  readonly unsynced: number
  /** Until the batch is done, at this rate; null without a batch or a rate. */
  readonly secondsToFinish: number | null
  readonly inHand: readonly {
    serial: string
    name: string
    way: WayKind
    step: UnitStep
    progress: number | null
    seconds: number
  }[]
  readonly failures: readonly { serial: string; name: string; code: string; detail: string; mend: string; secondsAgo: number }[]
  readonly verdict: { number: number; pass: boolean; serial: string; name: string } | null
}

export function viewOf(state: LineState, now: number): LineView {
  const { count, inHand, failures, verdict } = state
  const perHour = rateOf(state, now)
  const left = count.planned === undefined ? undefined : Math.max(0, count.planned - count.delivered)
  return {
    station: count.station,
    perHour: perHour === undefined ? null : Math.round(perHour),
    planned: count.planned ?? null,
    delivered: count.delivered,
    failed: count.failed,
    scrapped: count.scrapped,
    quotaLeft: count.quotaLeft,
    until: new Date(count.until).toISOString(),
    unsynced: count.unsynced,
    secondsToFinish: left === 0 ? 0 : left === undefined || !perHour ? null : Math.round((left / perHour) * 3_600),
    inHand: inHand.map(({ since, progress, ...unit }) => ({ ...unit, progress: progress ?? null, seconds: age(since, now) })),
    failures: failures.map(({ at, ...failure }) => ({ ...failure, secondsAgo: age(at, now) })),
    verdict:
      verdict === undefined ? null : { number: verdict.number, pass: verdict.pass, serial: verdict.serial, name: verdict.name },
  }
}

/** Units an hour; undefined before anything was delivered. */
function rateOf({ deliveries, since }: LineState, now: number): number | undefined {
  if (deliveries.size === 0) return undefined
  const from = Math.max(since, now - RATE_WINDOW)
  const within = [...deliveries.values()].filter((at) => at >= from).length
  return (within * 3_600_000) / Math.max(leastWindow, now - from)
}

/** Whole seconds; a clock that was set back makes nothing negative. */
const age = (from: number, now: number): number => Math.max(0, Math.round((now - from) / 1000))
