/**
 * The agent's configuration file (TOML), documented key by key in `agent/adit-agent.example.toml`. Flags override it. Checked by
 * hand, since a schema library would double the agent's start; every refusal names file, line and mend.
 */

import { splitHostPort } from '#agent/core/agent-config.ts'
import type { DataWishes } from '#agent/core/data-keeper.ts'
import { parseService, type Service } from '#agent/core/service.ts'
import type { TunWishes } from '#agent/io/fast-road.ts'
import { parseProxy } from '#agent/io/outer-proxy.ts'
import { checkTokenPlace, defaultKeyLabel, type TokenPlace } from '#agent/io/token-place.ts'
import { isHttpsUrl } from '#shared/enrolment/claim.ts'
import { AditError } from '#shared/errors.ts'
import { dataModes } from '#shared/nat/data-budget.ts'
import { type LogLevel, logLevels } from '#shared/platform/log.ts'
import { isInterfaceName } from '#shared/platform/tun-network/interface-name.ts'
import type { OutboxLimits } from '#shared/telemetry/outbox.ts'
import { type Duration, milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, type SuiteName, suiteNames } from '#shared/tunnel/association.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

export interface DeviceConfig {
  readonly log: LogLevel
  /** Which protocols the tunnel speaks. */
  readonly suite: SuiteName
  readonly services: readonly Service[]
  /** Where the identity key is in hardware; undefined: in a file, or as it was said at enrolment. */
  readonly pkcs11: TokenPlace | undefined
  /** Whether the certificate is renewed with a new identity key, made where the present one is. */
  readonly renewsKey: boolean
  /** `http://[USER:PASSWORD@]HOST:PORT`, or `off`; undefined: the environment's. */
  readonly proxy: string | undefined
  /** How operators reach this device: by the best way that there is, or through the broker alone. */
  readonly path: DevicePath
  /** The kernel's part in the tunnel; undefined: none. */
  readonly tun: TunWishes | undefined
  /** Whether the gateway is asked for a port by which operators reach this device directly (PCP, NAT-PMP, UPnP). */
  readonly portMapping: boolean
  /** Where local programs publish readings; `explicit` where a person named the place and wants to hear if it is taken. */
  readonly mqtt: { readonly listen: Endpoint; readonly explicit: boolean } | 'off'
  /** Between two rounds of vital signs; undefined: none. */
  readonly vitalsEvery: Duration | undefined
  readonly outbox: OutboxLimits
  /** What the tunnel may cost; what is not said here is the broker's to say. */
  readonly data: DataWishes
  /** Where a board with an IDevID looks for its owner. */
  readonly factory: VoucherSources
}

/** Where a board looks for its voucher. */
export interface VoucherSources {
  /** A file that is there, or will be. */
  readonly voucher: string | undefined
  /** URLs of brokers that may have it, in the order to ask; at most 8. */
  readonly brokers: readonly string[]
}

/** Ways by which operators may reach a device; `relay`: it names no places of its own, and asks no router for a port. */
export type DevicePath = 'auto' | 'relay'

const devicePaths: readonly DevicePath[] = ['auto', 'relay']

export const defaultMqtt: Endpoint = { address: '127.0.0.1', port: 1883 }

export const defaultConfig: DeviceConfig = {
  log: 'info',
  suite: 'noise',
  services: [],
  pkcs11: undefined,
  renewsKey: false,
  proxy: undefined,
  path: 'auto',
  tun: undefined,
  portMapping: true,
  mqtt: { listen: defaultMqtt, explicit: false },
  vitalsEvery: seconds(60),
  outbox: { rows: 200_000, bytes: 64 * 1024 * 1024 },
  data: { mode: undefined, monthlyMegabytes: undefined, poll: undefined, exceeded: undefined },
  factory: { voucher: undefined, brokers: [] },
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
  reader.onlyKeys(root, '', ['suite', 'log', 'services', 'network', 'readings', 'outbox', 'data', 'factory', 'identity'])
  const log = reader.table(root, 'log')
  const network = reader.table(root, 'network')
  const readings = reader.table(root, 'readings')
  const outbox = reader.table(root, 'outbox')
  reader.onlyKeys(log, 'log', ['level'])
  reader.onlyKeys(network, 'network', ['proxy', 'path', 'port_mapping', 'tun', 'route', 'dns'])
  reader.onlyKeys(readings, 'readings', ['mqtt', 'vitals'])
  reader.onlyKeys(outbox, 'outbox', ['readings', 'megabytes'])
  const data = reader.table(root, 'data')
  reader.onlyKeys(data, 'data', ['mode', 'monthly_megabytes', 'poll', 'exceeded'])
  const factory = reader.table(root, 'factory')
  reader.onlyKeys(factory, 'factory', ['voucher', 'brokers'])
  const identity = reader.table(root, 'identity')
  reader.onlyKeys(identity, 'identity', ['pkcs11', 'renew'])
  return {
    log: reader.oneOf(log, 'level', logLevels) ?? defaultConfig.log,
    suite: reader.oneOf(root, 'suite', suiteNames) ?? defaultConfig.suite,
    services: reader.services(reader.table(root, 'services')),
    pkcs11: tokenPlace(reader, identity),
    renewsKey: reader.oneOf(identity, 'renew', ['same-key', 'new-key']) === 'new-key',
    proxy: reader.with(network, 'proxy', proxySetting),
    path: reader.oneOf(network, 'path', devicePaths) ?? defaultConfig.path,
    tun: tunWishes(reader, network),
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
    factory: {
      voucher: reader.with(factory, 'voucher', (text) => (text === '' ? undefined : text)),
      brokers: reader.urls(factory, 'brokers'),
    },
  }
}

function tokenPlace(reader: Reader, identity: Table): TokenPlace | undefined {
  if (!('pkcs11' in identity)) return undefined
  const place = reader.table(identity, 'pkcs11')
  reader.onlyKeys(place, 'identity.pkcs11', ['module', 'token', 'serial', 'key', 'pin_file'])
  const text = (key: string): string => reader.with(place, key, (value) => value) ?? ''
  const key = text('key') || defaultKeyLabel
  const serial = 'serial' in place && { serial: text('serial') }
  return reader.located('pkcs11', () =>
    checkTokenPlace({ module: text('module'), token: text('token'), ...serial, key, pinFile: text('pin_file') }),
  )
}

/** As after `--proxy`; empty: the environment's. Throws AditError `config-invalid`. */
function proxySetting(text: string): string | undefined {
  if (text !== '' && text !== 'off') parseProxy(text, 'The proxy')
  return text === '' ? undefined : text
}

/** As after `--path`. Throws AditError `usage`. */
export function parseDevicePath(text: string): DevicePath {
  const path = devicePaths.find((name) => name === text)
  if (path === undefined)
    throw new AditError('usage', `"${text}" is no way to this device.`, 'Write --path auto or --path relay.')
  return path
}

/** Of the interface, unless a person names it. */
export const defaultTun = 'adit0'

/** As after `--tun`. Throws AditError `config-invalid`. */
export function parseTunName(text: string): string {
  if (isInterfaceName(text)) return text
  throw new AditError(
    'config-invalid',
    `"${text}" is no name of an interface.`,
    'Write 1 to 15 letters, digits, dots and dashes, as in adit0.',
  )
}

function tunWishes(reader: Reader, network: Table): TunWishes | undefined {
  const name = reader.with(network, 'tun', (text) => (text === '' ? '' : parseTunName(text)))
  const route = reader.oneOf(network, 'route', ['fleet', 'all'])
  const dns = reader.addresses(network, 'dns')
  if (route !== 'all') return name ? { name, all: undefined } : undefined
  return { name: name || defaultTun, all: { dns } }
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
    return this.located(key, () => parse(value))
  }

  /** A list of literal addresses. */
  urls(table: Table, key: string): string[] {
    const value = table[key] ?? []
    if (Array.isArray(value) && value.length <= 8 && value.every(isHttpsUrl)) return value
    throw this.#refused(
      key,
      `"${key}" is a list of at most eight URLs`,
      `Write them in quotes, as in ["https://broker.example:8443"].`,
    )
  }

  addresses(table: Table, key: string): string[] {
    const value = table[key] ?? []
    if (Array.isArray(value) && value.every((text) => typeof text === 'string' && tryParseAddress(text) !== undefined))
      return value
    throw this.#refused(key, `"${key}" is a list of addresses`, `Write them in quotes, as in ["fd12::53"].`)
  }

  services(table: Table): Service[] {
    return Object.entries(table).map(([key, value]) => {
      if (typeof value !== 'string') throw this.#refused(key, `The service "${key}" has no target`, 'Write NAME = "ADDR:PORT".')
      return this.located(key, () => parseService(key, value))
    })
  }

  located<T>(key: string, work: () => T): T {
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
