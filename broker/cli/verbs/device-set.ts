import { type Command, InvalidArgumentError, Option } from 'commander'
import type { DataPlan } from '#broker/registry/principal.ts'
import { dataModes } from '#shared/nat/data-budget.ts'
import { tryParseDuration } from '#shared/time/duration-text.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, usage, verb } from '../verb.ts'

interface Options extends CommonOptions {
  dataMode?: string
  monthlyMegabytes?: number | 'none'
  poll?: number
  exceeded?: string
}

/** `adit-broker device set` */
export function deviceSet(parent: Command, terminal: Terminal): void {
  verb(
    parent,
    'set <name>',
    'what the data of a device may cost; it is told at once, and its own configuration has the last word',
    [
      'adit-broker device set pi-7 --data-mode metered --monthly-megabytes 1.1',
      'adit-broker device set pi-7 --data-mode on-demand --poll 30m',
    ],
  )
    .addOption(
      new Option('--data-mode <mode>', 'reachable at once, likewise as cheaply as can be, or asleep between polls').choices(
        dataModes,
      ),
    )
    .option(
      '--monthly-megabytes <n>',
      'budget of an idle tunnel in 30 days, 10^6 bytes at the interface; "none": no budget',
      megabytes,
    )
    .option('--poll <span>', 'on demand: between two polls, 1m to 24h (default: 15m)', minutes)
    .addOption(
      new Option('--exceeded <what>', 'where the network forgets too soon for the budget: stay reachable, or sleep').choices([
        'stay',
        'on-demand',
      ]),
    )
    .action(async (name: string, { dataMode: mode, monthlyMegabytes, poll: pollMinutes, exceeded, ...options }: Options) => {
      if (mode === undefined && monthlyMegabytes === undefined && pollMinutes === undefined && exceeded === undefined)
        throw usage('There is nothing to set.', 'device set')
      const desk = deskOf(terminal, options)
      const budget = monthlyMegabytes === 'none' ? null : monthlyMegabytes
      const change = { name, mode, monthlyMegabytes: budget, pollMinutes, exceeded }
      const device = await desk.ask<{ name: string; data: DataPlan | null }>('device.set', change)
      desk.print(device, ({ data }) => `data of ${device.name}: ${describe(data)}\n`)
    })
}

function describe(plan: DataPlan | null): string {
  if (plan === null) return 'no wish'
  const budget = plan.monthlyMegabytes === undefined ? 'no budget' : `${plan.monthlyMegabytes} MB a month`
  const poll = plan.mode === 'on-demand' ? `, a poll each ${plan.pollMinutes ?? 15} min` : ''
  return `${plan.mode}, ${budget}${poll}`
}

/** Not null: to commander that is an option without a value. */
function megabytes(text: string): number | 'none' {
  if (text === 'none') return text
  const number = Number(text)
  if (number >= 0.01 && number <= 1e9) return number
  throw new InvalidArgumentError('Write a number from 0.01, or none.')
}

function minutes(text: string): number {
  const span = tryParseDuration(text)
  const whole = span === undefined ? Number.NaN : Math.round(span / 60_000)
  if (whole >= 1 && whole <= 1440) return whole
  throw new InvalidArgumentError('Write a span from 1m to 24h.')
}
