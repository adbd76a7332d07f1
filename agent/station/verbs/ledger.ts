import { obstacleTo } from '#agent/station/core/unit-words.ts'
import type { Misfit } from '#agent/station/io/station-broker.ts'
import type { StationContext } from '#agent/station/io/station-context.ts'
import { unitOf } from '#agent/station/io/unit-argument.ts'
import type { UnitRecord } from '#agent/station/unit-desk.ts'
import { vouchedWords } from '#agent/station/verbs/vouched-words.ts'
import { printable } from '#shared/terminal/printable.ts'
import { table } from '#shared/terminal/table.ts'

/** `adit station status` */
export async function status(context: StationContext): Promise<void> {
  const station = await context.open()
  try {
    const { delegation } = station.parts.own
    const { online } = station.desk
    const count = await station.desk.count()
    const view = online ? await station.broker.view(station.ledger.head.number) : undefined
    const { names, first, last, tags } = delegation
    const key = view?.fleetKey ? await station.statementKey() : undefined
    const facts = {
      ...(key && { statementKey: key, waiting: view?.waiting ?? 0 }),
      ...count,
      until: new Date(count.until).toISOString(),
      names,
      first,
      last,
      tags,
    }
    const shown = { ...facts, online, entries: station.ledger.head.number, conflicts: view?.conflicts ?? null }
    await context.print(shown, (s) => {
      const rows = [
        ['station', s.station],
        ['names', `${names}, numbers ${first} to ${last}`],
        ['until', s.until],
        ['delivered', String(s.delivered)],
        ['failed', String(s.failed)],
        ['scrapped', String(s.scrapped)],
        ['quota left', String(s.quotaLeft)],
        ['unsynced', `${s.unsynced} units`],
        ...(key === undefined ? [] : [['statement key', `${key}, to compare with what adit fleet sign shows`]]),
        ['conflicts', s.conflicts === null ? 'unknown: the broker does not answer' : String(s.conflicts)],
      ]
      return table(rows)
    })
    const obstacle = obstacleTo(count, delegation.quota, context.ports().clock.wall())
    if (obstacle) context.note(`No unit can be begun now: ${obstacle.message} ${obstacle.mend}`)
  } finally {
    await station.close()
  }
}

/** `adit station sync` */
export async function sync(context: StationContext): Promise<void> {
  const station = await context.open('online')
  try {
    const result = await station.sync((done, all) => context.note(`${done} of ${all} entries`))
    const misfits = result.conflicts === 0 ? [] : await station.broker.misfits()
    await context.print({ ...result, misfits }, ({ sent, entries, conflicts, vouched }) => {
      const fits = conflicts === 0 ? '' : ` ${conflicts} units do not fit; at the broker: adit-broker station conflicts.`
      const word = vouched === undefined ? '' : vouchedWords(vouched)
      return `${sent} entries sent, ${entries} known to the broker.${fits}\n${misfits.map(misfitLine).join('')}${word}`
    })
  } finally {
    await station.close()
  }
}

const misfitLine = ({ unit, name, kind, against, mend }: Misfit): string =>
  `  ${printable(`${unit ?? 'a board'} (${name})  ${kind}: ${against}. ${mend}`)}\n`

/** `adit station renew` */
export async function renew(context: StationContext): Promise<void> {
  const station = await context.open('online')
  try {
    const changed = await station.renewDelegation()
    const { station: name, names, first, last, quota, notAfter } = station.parts.own.delegation
    const until = new Date(notAfter).toISOString()
    const { quotaLeft } = await station.desk.count()
    await context.print({ changed, station: name, names, first, last, quota, quotaLeft, until }, () => {
      const what = changed ? 'has a new delegation' : 'has what the broker gives it already'
      return `Station ${name} ${what}: ${quota} units ${names}, numbers ${first} to ${last}, ${quotaLeft} of them left, until ${until}.\n`
    })
  } finally {
    await station.close()
  }
}

/** `adit station verify` */
export async function verify(context: StationContext): Promise<void> {
  const station = await context.open('offline')
  try {
    await context.print(
      await station.verify(),
      ({ entries, seals, units, certificates, delivered, scrapped }) =>
        `The ledger is whole: ${entries} entries under ${seals} seals, ${units} units, ${certificates} certificates, ${delivered} delivered, ${scrapped} scrapped.\n`,
    )
  } finally {
    await station.close()
  }
}

/** `adit station log [UNIT]` */
export async function log(context: StationContext, unit: string | undefined, { failed }: { failed?: boolean }): Promise<void> {
  const station = await context.open('offline')
  try {
    const all = unit === undefined ? await station.desk.records() : [await unitOf(station.desk, unit)]
    const records = failed ? all.filter(({ step }) => step === 'failed') : all
    if (context.json) {
      for (const record of records) await context.write(`${JSON.stringify(record)}\n`)
      return
    }
    await context.write(table([['UNIT', 'NAME', 'STATE', 'WAY', 'TRIES', 'CERTIFICATE', 'WHY'], ...records.map(rowOf)]))
  } finally {
    await station.close()
  }
}

const rowOf = ({ serial, name, step, way, attempts, certificateSerial, cause, scrappedFor }: UnitRecord): string[] => [
  serial,
  name,
  step,
  way,
  String(attempts),
  certificateSerial ?? '-',
  printable(cause ? `${cause.code}: ${cause.message}` : (scrappedFor ?? '')),
]
