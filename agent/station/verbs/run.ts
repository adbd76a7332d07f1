import type { OpenStation } from '#agent/station/io/open-station.ts'
import type { StationContext } from '#agent/station/io/station-context.ts'
import { wayParts } from '#agent/station/io/way-parts.ts'
import { openScreen } from '#agent/station/screen/open-screen.ts'
import { vouchedWords } from '#agent/station/verbs/vouched-words.ts'
import { guestsOf, openLine } from '#agent/station/ways/line.ts'
import { listenOf } from '#agent/station/ways/way-of.ts'
import { toAditError } from '#shared/errors.ts'
import { systemTimers, type Timer } from '#shared/platform/timers.ts'
import { type Duration, seconds } from '#shared/time/instant.ts'

export interface RunFlags {
  readonly listen?: string
  readonly page?: string
  readonly bell?: boolean
  /** Boards that the ledger does not know yet are taken, as long as the quota lasts. */
  readonly admit?: boolean
  readonly planned?: number
}

/** Between two looks for the broker, and two syncs. */
const syncEvery = seconds(30)

/** `adit station run`: holds the line until it is told to end: the door for boards, the screen, and the way of the ledger to the broker. */
export async function run(context: StationContext, { listen, page, bell, admit = false, planned }: RunFlags): Promise<void> {
  const station = await context.open()
  const { desk } = station
  const ended = endSignal()
  try {
    if (planned !== undefined) await desk.plan(planned)
    const parts = await wayParts(station, context)
    const guests = guestsOf(desk, async () => admit && (await desk.count()).quotaLeft > 0)
    const line = await openLine(desk, { ...parts, ...listenOf(listen) }, guests)
    try {
      parts.onToken(line.token)
      const screen = await openScreen(desk, { json: context.json, ...(page !== undefined && { page }), ...(bell && { bell }) })
      const stop = keepInSync(station, context)
      await ended
      await stop()
      await screen.close()
    } finally {
      await line.close()
    }
  } finally {
    await station.close()
  }
}

/** Looks for the broker and tells it of the ledger, now and every half minute. Returns what ends it, once what is under way is done. */
function keepInSync(station: OpenStation, context: StationContext): () => Promise<void> {
  let stopped = false
  let timer: Timer | undefined
  let told = ''
  const tell = async (): Promise<void> => {
    const vouched = station.ledger.unsyncedUnits > 0 ? (await station.sync()).vouched : await station.vouchIfAsked()
    const words = vouched === undefined ? '' : vouchedWords(vouched)
    // What is refused is refused every half minute.
    if (words !== '' && words !== told) context.note(words.trimEnd())
    told = words
  }
  const once = async (): Promise<void> => {
    try {
      if (await station.look()) await tell()
    } catch (error) {
      context.complain(toAditError(error))
    }
    if (!stopped) again(syncEvery)
  }
  let under: Promise<void> = Promise.resolve()
  const again = (after: Duration): void => {
    timer = systemTimers.setTimer(after, () => {
      under = once()
    })
  }
  again(seconds(0))
  return async () => {
    stopped = true
    timer?.clear()
    await under
  }
}

const endSignal = (): Promise<void> =>
  new Promise((end) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end())
  })
