/**
 * The agent's configuration file (TOML), documented key by key in `agent/adit-agent.example.toml`. Flags override it. Checked by
 * hand, since a schema library would double the agent's start; every refusal names file, line and mend.
 */

import { splitHostPort } from '#agent/core/agent-config.ts'
import type { DataWishes } from '#agent/core/data-keeper.ts'
import { parseService, type Service } from '#agent/core/service.ts'
import { parseProxy } from '#agent/io/outer-proxy.ts'
import { AditError } from '#shared/errors.ts'
import { dataModes } from '#shared/nat/data-budget.ts'
import { type LogLevel, logLevels } from '#shared/platform/log.ts'
import type { OutboxLimits } from '#shared/telemetry/outbox.ts'
import { type Duration, milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, type SuiteName, suiteNames } from '#shared/tunnel/association.ts'

export interface DeviceConfig {
  readonly log: LogLevel
  /** Which protocols the tunnel speaks. */
  readonly suite: SuiteName
  readonly services: readonly Service[]
  /** `http://[USER:PASSWORD@]HOST:PORT`, or `off`; undefined: the environment's. */
  readonly proxy: string | undefined
  /** Whether the gateway is asked for a port by which operators reach this device directly (PCP, NAT-PMP). */
  readonly portMapping: boolean
  /** Where local programs publish readings; `explicit` where a person named the place and wants to hear if it is taken. */
  readonly mqtt: { readonly listen: Endpoint; readonly explicit: boolean } | 'off'
  /** Between two rounds of vital signs; undefined: none. */
  readonly vitalsEvery: Duration | undefined
  readonly outbox: OutboxLimits
  /** What the tunnel may cost; what is not said here is the broker's to say. */
  readonly data: DataWishes
}

export const defaultMqtt: Endpoint = { address: '127.0.0.1', port: 1883 }

export const defaultConfig: DeviceConfig = {
  log: 'info',
  suite: 'noise',
  services: [],
  proxy: undefined,
  portMapping: true,
  mqtt: { listen: defaultMqtt, explicit: false },
  vitalsEvery: seconds(60),
  outbox: { rows: 200_000, bytes: 64 * 1024 * 1024 },
  data: { mode: undefined, monthlyMegabytes: undefined, poll: undefined, exceeded: undefined },
}

type Table = Record<string, unknown>

/** Reads TOML text; `file` is for messages. Throws AditError `config-invalid`. */
export async function parseDeviceConfig(source: string, file: string): Promise<DeviceConfig> {
  const { parse, TomlError } = await import('smol-toml')
  const reader = new Reader(source, file)
  let root: Table
  try {
    root = parse(source)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
    throw invalid(`${file}:${error.line}`, reason, 'Mend that line; agent/adit-agent.example.toml shows each key.', error)
  }
  reader.onlyKeys(root, '', ['suite', 'log', 'services', 'network', 'readings', 'outbox', 'data'])
  const log = reader.table(root, 'log')
  const network = reader.table(root, 'network')
  const readings = reader.table(root, 'readings')
  const outbox = reader.table(root, 'outbox')
  reader.onlyKeys(log, 'log', ['level'])
  reader.onlyKeys(network, 'network', ['proxy', 'port_mapping'])
  reader.onlyKeys(readings, 'readings', ['mqtt', 'vitals'])
  reader.onlyKeys(outbox, 'outbox', ['readings', 'megabytes'])
  const data = reader.table(root, 'data')
  reader.onlyKeys(data, 'data', ['mode', 'monthly_megabytes', 'poll', 'exceeded'])
  return {
    log: reader.oneOf(log, 'level', logLevels) ?? defaultConfig.log,
    suite: reader.oneOf(root, 'suite', suiteNames) ?? defaultConfig.suite,
    services: reader.services(reader.table(root, 'services')),
    proxy: reader.with(network, 'proxy', proxySetting),
    portMapping: reader.oneOf(network, 'port_mapping', ['auto', 'off']) !== 'off',
    mqtt: reader.with(readings, 'mqtt', parseMqtt) ?? defaultConfig.mqtt,
    vitalsEvery: 'vitals' in readings ? reader.with(readings, 'vitals', parseInterval) : defaultConfig.vitalsEvery,
    outbox: {
      rows: reader.integer(outbox, 'readings', 100, 100_000_000) ?? defaultConfig.outbox.rows,
      bytes: (reader.integer(outbox, 'megabytes', 1, 1_000_000) ?? defaultConfig.outbox.bytes / 2 ** 20) * 2 ** 20,
    },
    data: {
      mode: reader.oneOf(data, 'mode', dataModes),
      monthlyMegabytes: reader.number(data, 'monthly_megabytes', 0.01, 1e9),
      poll: reader.with(data, 'poll', parsePoll),
      exceeded: reader.oneOf(data, 'exceeded', ['stay', 'on-demand']),
    },
  }
}

/** As after `--proxy`; empty: the environment's. Throws AditError `config-invalid`. */
function proxySetting(text: string): string | undefined {
  if (text !== '' && text !== 'off') parseProxy(text, 'The proxy')
  return text === '' ? undefined : text
}

/** `ADDR:PORT` or `off`, as after `--mqtt`. Throws AditError `config-invalid`. */
export function parseMqtt(text: string): DeviceConfig['mqtt'] {
  if (text === 'off') return 'off'
  const listen = text === '0' ? undefined : (splitHostPort(text) ?? anyPort(text))
  if (listen === undefined)
    throw new AditError(
      'config-invalid',
      `"${text}" is no place for local readings.`,
      'Write ADDR:PORT, as in 127.0.0.1:1883, or off.',
    )
  return { listen, explicit: true }
}

/** Port 0 lets the system choose; the status says which. */
const anyPort = (text: string): Endpoint | undefined => {
  const host = text.endsWith(':0') ? splitHostPort(`${text.slice(0, -1)}1`) : undefined
  return host && { address: host.address, port: 0 }
}

/** `60s`, `5m`, `500ms`, or `off`. */
function parseInterval(text: string): Duration | undefined {
  if (text === 'off') return undefined
  const match = /^(\d+)(ms|s|m|h)$/.exec(text)
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ''] ?? 0
  const span = Number(match?.[1]) * unit
  if (!(span >= 1000 && span <= 86_400_000))
    throw new AditError('config-invalid', `"${text}" is no interval.`, 'Write a number with its unit, from 1s to 24h, or off.')
  return milliseconds(span)
}

function parsePoll(text: string): Duration {
  const poll = parseInterval(text)
  if (poll !== undefined && poll >= 60_000) return poll
  throw new AditError('config-invalid', `"${text}" is no span between polls.`, 'Write a number with its unit, from 1m to 24h.')
}

/** Values out of the parsed document, with the line of the key in every complaint. */
class Reader {
  readonly #lines: readonly string[]
  readonly #file: string

  constructor(source: string, file: string) {
    this.#lines = source.split('\n')
    this.#file = file
  }

  table(parent: Table, key: string): Table {
    const value = parent[key]
    if (value === undefined) return {}
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.#refused(key, `"${key}" is a table`, `Write [${key}].`)
    return value as Table
  }

  onlyKeys(table: Table, name: string, known: readonly string[]): void {
    for (const key of Object.keys(table))
      if (!known.includes(key))
        throw this.#refused(
          key,
          `"${name === '' ? key : `${name}.${key}`}" is no key of this file`,
          `Known here: ${known.join(', ')}.`,
        )
  }

  oneOf<T extends string>(table: Table, key: string, choices: readonly T[]): T | undefined {
    const value = table[key]
    const choice = choices.find((name) => name === value)
    if (value !== undefined && choice === undefined)
      throw this.#refused(key, `"${key}" is not as it should be`, `Write one of: ${choices.join(', ')}.`)
    return choice
  }

  integer(table: Table, key: string, min: number, max: number): number | undefined {
    const value = table[key]
    if (value === undefined) return undefined
    if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max)
      throw this.#refused(key, `"${key}" is out of range`, `Write a whole number from ${min} to ${max}.`)
    return value as number
  }

  number(table: Table, key: string, min: number, max: number): number | undefined {
    const value = table[key]
    if (value === undefined) return undefined
    if (typeof value !== 'number' || !(value >= min && value <= max))
      throw this.#refused(key, `"${key}" is out of range`, `Write a number from ${min} to ${max}.`)
    return value
  }

  with<T>(table: Table, key: string, parse: (text: string) => T): T | undefined {
    const value = table[key]
    if (value === undefined) return undefined
    if (typeof value !== 'string') throw this.#refused(key, `"${key}" is a text`, `Put it in quotes.`)
    return this.#located(key, () => parse(value))
  }

  services(table: Table): Service[] {
    return Object.entries(table).map(([key, value]) => {
      if (typeof value !== 'string') throw this.#refused(key, `The service "${key}" has no target`, 'Write NAME = "ADDR:PORT".')
      return this.#located(key, () => parseService(key, value))
    })
  }

  #located<T>(key: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof AditError)) throw error
      throw invalid(this.#place(key), error.message.replace(/\.$/, ''), error.mend, error)
    }
  }

  #refused(key: string, reason: string, mend: string): AditError {
    return invalid(this.#place(key), reason, mend)
  }

  /** The line where the key stands, found by its text: the parser does not keep places. */
  #place(key: string): string {
    const escaped = key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    const at = this.#lines.findIndex((line) => new RegExp(`^\\s*\\[?\\s*["']?${escaped}["']?\\s*[=\\].]`).test(line))
    return at < 0 ? this.#file : `${this.#file}:${at + 1}`
  }
}

const invalid = (place: string, reason: string, mend: string, cause?: unknown): AditError =>
  new AditError('config-invalid', `${place}: ${reason}.`, mend, { cause })
