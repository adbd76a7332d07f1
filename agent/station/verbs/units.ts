import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { type BatchUnit, countedUnits, parseBatchList } from '#agent/station/core/batch-list.ts'
import { batchText, deliveredText } from '#agent/station/core/outcome-words.ts'
import type { OpenStation } from '#agent/station/io/open-station.ts'
import { type Line, type Outcome, provisionUnit } from '#agent/station/io/provision.ts'
import type { StationContext } from '#agent/station/io/station-context.ts'
import { unitOf } from '#agent/station/io/unit-argument.ts'
import { pairingOf, wayParts } from '#agent/station/io/way-parts.ts'
import type { LabelWish } from '#agent/station/labels/label-form.ts'
import { openLabels } from '#agent/station/labels/label-printer.ts'
import { openScreen } from '#agent/station/screen/open-screen.ts'
import { vouchedWords } from '#agent/station/verbs/vouched-words.ts'
import { type WayOptions, wayOf } from '#agent/station/ways/way-of.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { storageError } from '#shared/platform/files.ts'
import { printable } from '#shared/terminal/printable.ts'

export interface UnitFlags extends WayOptions, LabelWish {
  readonly name?: string
}

export interface BatchFlags extends UnitFlags {
  readonly csv?: string
  readonly count?: number
  /** Pattern of the boards' serial numbers. */
  readonly serials?: string
  readonly retry?: boolean
  readonly page?: string
}

/** `adit station provision SERIAL` */
export async function provision(context: StationContext, text: string | undefined, flags: UnitFlags): Promise<void> {
  await withStation(context, async (station) => {
    await withLine(context, station, flags, async (line) => {
      tellAwaited(context, flags)
      const serial = text === undefined ? await toldSerial(line) : checkSerial(text)
      const { name } = flags
      await finish(context, flags, await provisionUnit(line, { serial, ...(name !== undefined && { name }) }))
    })
  })
}

/** `adit station replace UNIT --by SERIAL --reason TEXT` */
export async function replace(
  context: StationContext,
  unit: string,
  flags: UnitFlags & { by: string; reason: string },
): Promise<void> {
  const serial = checkSerial(flags.by)
  await withStation(context, async (station) => {
    await withLine(context, station, flags, async (line) => {
      const old = await unitOf(station.desk, unit)
      if (old.serial === serial) throw new AditError('usage', `${serial} cannot replace itself.`, 'Scan the other board.')
      await station.desk.scrap(old.serial, flags.reason, serial)
      tellAwaited(context, flags)
      await finish(context, flags, await provisionUnit(line, { serial }, old.serial))
    })
  })
}

/** `adit station scrap UNIT --reason TEXT` */
export async function scrap(context: StationContext, unit: string, { reason }: { reason: string }): Promise<void> {
  const station = await context.open('offline')
  try {
    const { serial } = await unitOf(station.desk, unit)
    const record = await station.desk.scrap(serial, reason)
    await context.print(record, ({ name, scrappedFor }) => `${printable(`${serial} (${name}) scrapped: ${scrappedFor}`)}\n`)
  } finally {
    await station.close()
  }
}

/** `adit station batch`, and `adit station retry`: boards one after another; those that failed are listed at the end, with their causes. */
export async function batch(context: StationContext, flags: BatchFlags, only: readonly string[] = []): Promise<void> {
  await withStation(context, async (station) => {
    const units = await unitsOf(station, flags, only)
    await station.desk.plan(units === 'told' ? (flags.count ?? 0) : units)
    const screen = await openScreen(station.desk, { json: context.json, ...(flags.page !== undefined && { page: flags.page }) })
    const failed: (Outcome & { ok: false })[] = []
    let done = 0
    const take = (outcome: Outcome): void => {
      if (outcome.ok) done += 1
      else failed.push(outcome)
    }
    try {
      if (units === 'told') {
        await withLine(context, station, flags, async (line) => {
          while (done + failed.length < (flags.count ?? 0)) take(await provisionUnit(line, { serial: await toldSerial(line) }))
        })
      } else {
        await withLine(context, station, flags, async (line) => {
          for (const unit of units) take(await provisionUnit(line, unit))
        })
      }
    } finally {
      await screen.close()
    }
    await tellBatch(context, station, flags, done, failed)
  })
}

async function unitsOf(
  { desk }: OpenStation,
  flags: BatchFlags,
  only: readonly string[],
): Promise<readonly BatchUnit[] | 'told'> {
  const { csv, count, serials, retry } = flags
  if ([csv !== undefined, count !== undefined, retry === true].filter(Boolean).length !== 1) throw oneList()
  if (csv !== undefined) return parseBatchList(await textOf(csv))
  if (count !== undefined) return serials === undefined ? 'told' : countedUnits(serials, count)
  const chosen = only.length === 0 ? await desk.records() : await Promise.all(only.map((text) => unitOf(desk, text)))
  return chosen.filter(({ step }) => step !== 'delivered' && step !== 'scrapped').map(({ serial }) => ({ serial }))
}

async function textOf(path: string): Promise<string> {
  if (path === '-') return text(process.stdin)
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw storageError(error, 'read', path)
  }
}

async function tellBatch(
  context: StationContext,
  { desk }: OpenStation,
  way: WayOptions,
  delivered: number,
  failed: readonly (Outcome & { ok: false })[],
): Promise<void> {
  const { unsynced, quotaLeft } = await desk.count()
  const failures = failed.map(({ serial, error }) => ({ serial, ...error.toJSON() }))
  await context.print({ event: 'batch', delivered, failed: failures, unsynced, quotaLeft }, () =>
    batchText(delivered, failed, way),
  )
  if (failed.length > 0) process.exitCode = 1
}

async function finish(context: StationContext, way: WayOptions, outcome: Outcome): Promise<void> {
  if (!outcome.ok) throw outcome.error
  const { record, again } = outcome
  await context.print({ ...record, again }, () => deliveredText(record, again, way))
}

async function withStation(context: StationContext, work: (station: OpenStation) => Promise<void>): Promise<void> {
  const station = await context.open()
  try {
    await work(station)
    const vouched = await station.vouchIfAsked()
    if (vouched) context.note(vouchedWords(vouched).trimEnd())
  } finally {
    await station.close()
  }
}

async function withLine(
  context: StationContext,
  station: OpenStation,
  flags: UnitFlags,
  work: (line: Line) => Promise<void>,
): Promise<void> {
  const { desk, parts } = station
  // A wish for labels that cannot be ends it before any unit is begun.
  const printer = openLabels(flags, { desk, book: desk, pairing: pairingOf(parts) })
  const way = await wayOf(flags, await wayParts(station, context))
  try {
    await work({ desk, way, printer })
  } finally {
    await way.close()
  }
}

/** What the person has to do meanwhile; a card waits for nobody. */
function tellAwaited(context: StationContext, { serial, network }: WayOptions): void {
  if (serial !== undefined) context.note(`Waiting for the board at ${serial}: power it on.`)
  else if (network) context.note('Waiting for the board in the LAN of this station: power it on, with the image of this line.')
}

async function toldSerial({ way }: Line): Promise<string> {
  if (way.serialOf) return way.serialOf()
  throw new AditError(
    'usage',
    'A card does not tell the serial number of its board.',
    'Give it: adit station provision SERIAL --into PATH',
  )
}

const oneList = (): AditError =>
  new AditError('usage', 'Say which boards: --csv FILE, --count N or --retry, one of them.', 'See: adit station batch --help')
