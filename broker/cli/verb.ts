import { type Command, InvalidArgumentError } from 'commander'
import { ask } from '#broker/admin/ask.ts'
import type { Config } from '#broker/config.ts'
import { AditError } from '#shared/errors.ts'
import { examplesText } from '#shared/terminal/examples.ts'
import { printable } from '#shared/terminal/printable.ts'
import { tryParseDuration } from '#shared/time/duration-text.ts'
import type { Duration } from '#shared/time/instant.ts'
import { isBrokerFolder } from './io/broker-folder.ts'
import { defaultDataDir, inputText, type Terminal } from './terminal.ts'

/** What every verb understands. */
export interface CommonOptions {
  data?: string
  config?: string
  json?: boolean
}

/** A verb at work: its terminal, its folder, its configuration. */
export interface Desk {
  readonly terminal: Terminal
  readonly dataDir: string
  readonly json: boolean
  config(): Promise<Config>
  /** Where the configuration comes from, and whether it is there. */
  configFile(): Promise<{ path: string; text: string | undefined }>
  /** Has the operation done by the running broker, or here where none runs. */
  ask<Result>(operation: string, args: object): Promise<Result>
  /** Standard input to its end, as text in UTF-8, and as it came. */
  readInput(): Promise<string>
  readInputBytes(): Promise<Uint8Array>
  /** The result on standard output: one line of JSON, or what `human` makes of it. */
  print<Result>(result: Result, human: (result: Result) => string): void
}

/** A verb of `adit-broker` with the options that all share, and examples below its help. */
export function verb(parent: Command, usage: string, summary: string, examples: readonly string[]): Command {
  return parent
    .command(usage)
    .description(summary)
    .option('--data <dir>', 'data folder (default: /var/lib/adit-broker for root, else ~/.local/share/adit-broker)')
    .option('--config <file>', 'configuration file (default: DATA/config.toml)')
    .option('--json', 'JSON on standard output')
    .addHelpText('after', examplesText(examples))
}

/** The desk of a verb whose options were read. */
export function deskOf(terminal: Terminal, { data, config: configPath, json = false }: CommonOptions): Desk {
  if (data === '')
    throw new AditError('usage', '--data names no folder.', 'Name one, or leave --data out for the usual one: see --help.')
  const dataDir = data ?? defaultDataDir(terminal)
  const configFile = async (): Promise<{ path: string; text: string | undefined }> => {
    const { readConfigFile } = await import('./io/config-file.ts')
    return readConfigFile(dataDir, configPath)
  }
  const config = async (): Promise<Config> => {
    const { path, text } = await configFile()
    const { parseConfig } = await import('#broker/config.ts')
    return parseConfig(text ?? '', path)
  }
  return {
    terminal,
    dataDir,
    json,
    config,
    configFile,
    async ask<Result>(operation: string, args: object) {
      const wasThere = isBrokerFolder(dataDir)
      if (!wasThere && !beginnings.has(operation)) throw noBroker(dataDir)
      const result = (await ask(dataDir, config, operation, args)) as Result
      if (!wasThere && isBrokerFolder(dataDir)) terminal.err(`${printable(madeHere(dataDir))}\n`)
      return result
    },
    async readInput() {
      return inputText(await this.readInputBytes())
    },
    async readInputBytes() {
      if (!terminal.input) throw new AditError('usage', 'There is no standard input to read.', 'Give it by a pipe or a file.')
      const input = await terminal.input()
      return typeof input === 'string' ? Buffer.from(input) : input
    },
    print(result, human) {
      terminal.out(json ? `${JSON.stringify(result)}\n` : human(result))
    },
  }
}

/** What may be done before the broker's first start, and makes it; all else is about what there is already. */
const beginnings: ReadonlySet<string> = new Set([
  'claim.create',
  'grant.add',
  'device.add',
  'device.add-ipsec',
  'station.authorize',
  'factory.trust',
  'voucher.import',
  'fleet.pin',
  'ca.show',
  'ca.root.export',
])

const noBroker = (dataDir: string): AditError =>
  new AditError('not-found', `There is no broker in ${dataDir}.`, 'Name its folder, --data DIR; or begin one: adit-broker run.')

/** Whoever mistyped --data must hear that the answer is another broker's. */
const madeHere = (dataDir: string): string =>
  `adit-broker: There was no broker in ${dataDir}: one has been made, with a CA of its own. If you meant another one, name its folder: --data DIR.`

/** For options that may be given again and again. */
export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]

export function duration(text: string): Duration {
  const span = tryParseDuration(text)
  if (span === undefined) throw new InvalidArgumentError('Write a span of time with its unit: 25s, 30m, 24h, 7d.')
  return span
}

export function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It is no whole number from 1.')
  return Number(text)
}

/** `22`, `8000-8010`, or `any` (`all` as well). */
export function portRange(text: string, before: readonly { from: number; to: number }[] = []): { from: number; to: number }[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  const range =
    text === 'all' || text === 'any'
      ? { from: 1, to: 65_535 }
      : { from: Number(match?.[1]), to: Number(match?.[2] ?? match?.[1]) }
  if (!(range.from >= 1 && range.to <= 65_535 && range.from <= range.to)) {
    throw new InvalidArgumentError('Write a port from 1 to 65535, a range such as 8000-8010, or any.')
  }
  return [...before, range]
}

/** A span from now (`7d`) or a moment (`2027-01-31`, `2027-01-31T12:00Z`). */
export function end(text: string): { lasting: number } | { until: number } {
  const span = tryParseDuration(text)
  if (span !== undefined) return { lasting: span }
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) throw new InvalidArgumentError('Write a span of time (7d) or a moment (2027-01-31T12:00Z).')
  return { until: at }
}

export const usage = (message: string, verbs: string): AditError =>
  new AditError('usage', message, `See: adit-broker ${verbs} --help`)
