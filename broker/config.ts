import { parse, TomlError } from 'smol-toml'
import { z } from 'zod'
import { parseEndpointText } from '#broker/endpoint-text.ts'
import { type EnrolmentRules, standardRules } from '#broker/enrolment/enrolment-rules.ts'
import { RENEWAL_GRACE_DAYS, SHELF_DAYS } from '#broker/registry/principal.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { defaultEspProposals, defaultIkeProposals, parseProposals } from '#shared/ikev2/proposal.ts'
import { isHostName } from '#shared/pki/host-name.ts'
import { MOST_LANES } from '#shared/platform/linux-engine/steering.ts'
import { logLevels } from '#shared/platform/log.ts'
import { isInterfaceName } from '#shared/platform/tun-network/interface-name.ts'
import { tryParseDuration } from '#shared/time/duration-text.ts'
import { type Duration, days, seconds } from '#shared/time/instant.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'

/**
 * The broker's configuration: DATA/config.toml, or the file that --config names, under what the command line says. Each key is
 * documented in adit-broker.example.toml, and a test holds the two together.
 */

const duration = z.string().transform((text, context): Duration => {
  const span = tryParseDuration(text)
  if (span !== undefined) return span
  context.addIssue({ code: 'custom', message: 'write a span of time with its unit: 25s, 30m, 7d' })
  return z.NEVER
})

const listenAddress = z.string().refine((text) => trySplitListen(text) !== undefined, {
  message: 'write ADDR:PORT, [V6]:PORT or :PORT, with a literal address',
})

const endpoint = z.string().refine(isPublicEndpoint, { message: 'write HOST:PORT' })

/** `ADDR:PORT` or `[V6]:PORT` with a literal address and a port that is not 0. */
const literalEndpoint = z.string().refine((text) => (parseEndpointText(text)?.port ?? 0) > 0, {
  message: 'write ADDR:PORT or [V6]:PORT, with a literal address',
})

const apiUrl = z.string().refine((text) => /^https:\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[1-9]\d{0,4})?$/.test(text), {
  message: 'write https://HOST:PORT',
})

const streamUrl = z.string().refine((text) => /^wss:\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[1-9]\d{0,4})?\/\S*$/.test(text), {
  message: 'write wss://HOST:PORT/v1/tunnel',
})

const publicUrl = z.string().refine((text) => /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[1-9]\d{0,4})?\/?$/.test(text), {
  message: 'write http://HOST or http://HOST:PORT',
})

const engines = ['auto', 'portable', 'linux'] as const

/** TCP and UDP ports, or all of them. */
const ports = z
  .union([z.literal('all'), z.array(z.int().min(1).max(65_535)).max(64)], { message: 'write "all" or a list of ports' })
  .default([])

const network = z.string().refine(isNetwork, { message: 'write a network as 100.64.0.0/16' })

const proposals = (protocol: number, standard: readonly Proposal[]) =>
  z
    .array(z.string())
    .min(1, 'name one proposal at least, or leave the key out')
    .max(32)
    .transform((texts, context): readonly Proposal[] => {
      try {
        return parseProposals(texts, protocol)
      } catch (error) {
        if (!isAditError(error)) throw error
        context.addIssue({ code: 'custom', message: `${error.message.replace(/\.$/, '')}. ${error.mend.replace(/\.$/, '')}` })
        return z.NEVER
      }
    })
    .default(standard)

const schema = z.strictObject({
  listen: listenAddress.default(':4500'),
  api: listenAddress.default(':8443'),
  'public-endpoints': z.array(endpoint).max(8).default([]),
  'public-api': z.array(apiUrl).max(8).default([]),
  'public-addresses': z
    .array(z.string().refine(isAddress, { message: 'write literal addresses' }))
    .max(8)
    .default([]),
  'api-names': z
    .array(z.string().regex(/^[A-Za-z0-9._:-]{1,253}$/, 'write a host name or a literal address'))
    .max(32)
    .default([]),
  tunnel: z
    .strictObject({
      keepalive: duration
        .refine((span) => span >= seconds(5) && span <= seconds(3_600), { message: 'from 5s to 1h' })
        .default(seconds(25)),
      mtu: z
        .union([z.literal('auto'), z.int().min(1_280).max(1_420)], { message: 'write "auto" or a number from 1280 to 1420' })
        .default('auto'),
      engine: z.enum(engines).default('auto'),
      lanes: z.int().min(1).max(MOST_LANES).default(1),
      tun: z
        .string()
        .refine((text) => text === '' || isInterfaceName(text), {
          message: 'write a name of 1 to 15 letters, digits, dots and dashes',
        })
        .default(''),
      'host-to-agents': ports,
      'agents-to-host': ports,
      'mqtt-port': z.int().min(1).max(65_535).default(1_883),
      'avoid-networks': z.array(network).default([]),
    })
    .prefault({}),
  ipsec: z
    .strictObject({
      enabled: z.boolean().default(true),
      port500: z.union([z.literal(''), listenAddress]).default(''),
      tcp: z.union([z.literal(['auto', 'off']), listenAddress]).default('auto'),
      'ike-proposals': proposals(ProtocolId.Ike, defaultIkeProposals),
      'esp-proposals': proposals(ProtocolId.Esp, defaultEspProposals),
      id: z.string().refine(isIkeId, { message: 'write a host name or a literal address' }).default(''),
      dns: z
        .array(z.string().refine(isAddress, { message: 'write literal addresses' }))
        .max(4)
        .default([]),
      'redirect-to': z.string().refine(isIkeId, { message: 'write a host name or a literal address' }).default(''),
    })
    .prefault({}),
  websocket: z
    .strictObject({
      listen: z.union([z.literal(''), listenAddress]).default(''),
      certificate: z.string().default(''),
      key: z.string().default(''),
      public: z.array(streamUrl).max(8).default([]),
    })
    .refine(({ certificate, key }) => (certificate === '') === (key === ''), {
      message: 'certificate and key go together',
      path: ['key'],
    })
    .prefault({}),
  stun: z.strictObject({ alternate: z.array(literalEndpoint).max(2).default([]) }).prefault({}),
  telemetry: z
    .strictObject({
      keep: duration.refine((span) => span >= seconds(60), { message: 'at least 1m' }).default(days(365)),
      'max-readings': z.int().min(0).default(0),
    })
    .prefault({}),
  pki: z
    .strictObject({
      url: z.union([z.literal(''), publicUrl]).default(''),
      http: z.union([z.literal(''), listenAddress]).default(''),
    })
    .prefault({}),
  enrolment: z
    .strictObject({
      'renew-days': z.int().min(0).max(36_525).default(RENEWAL_GRACE_DAYS),
      'shelf-days': z.int().min(0).max(36_525).default(SHELF_DAYS),
      hook: z.string().refine(isHookPlace, { message: 'write the absolute path of a program, or https://…' }).default(''),
      'hook-ca': z.string().refine(isPathOrNone, { message: 'write the absolute path of a PEM file' }).default(''),
      queue: z.int().min(1).max(100_000).default(standardRules.queue),
      'retry-after': duration
        .refine((span) => span >= seconds(5) && span <= seconds(3_600), { message: 'from 5s to 1h' })
        .default(seconds(standardRules.retryAfter)),
    })
    .prefault({}),
  log: z.strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
})

export interface Config {
  /** UDP: "ADDR:PORT", "[V6]:PORT", or ":PORT" for all addresses of both families. Port 0 picks a free one. */
  readonly listen: string
  /** HTTPS, likewise. */
  readonly api: string
  /** What agents are told to send their datagrams to; empty: what they reached the API by. */
  readonly publicEndpoints: readonly string[]
  /** What claims say of the API's whereabouts; empty: found out. */
  readonly publicApi: readonly string[]
  /** Literal addresses of the hosts in `publicApi`, which claims carry beside the names; empty: this machine's public ones. */
  readonly publicAddresses: readonly string[]
  /** Further names and addresses for the API's certificate. */
  readonly apiNames: readonly string[]
  readonly keepalive: Duration
  /** Bytes; undefined: 1280, or 1420 where there is a TUN. */
  readonly innerMtu: number | undefined
  /** What moves packets: `auto` takes the fast engine where there is a TUN. */
  readonly engine: (typeof engines)[number]
  /** Threads of the fast engine among which sessions are divided. */
  readonly lanes: number
  /** The kernel's interface in the tunnels; undefined: none. */
  readonly tun: string | undefined
  /** Where there is one: which ports of agents this host's kernel may reach, and which of its own agents may. */
  readonly hostToAgents: OpenPorts
  readonly agentsToHost: OpenPorts
  readonly mqttPort: number
  /** Networks from which no inner IPv4 address is taken, beside those that this machine is on. */
  readonly avoidNetworks: readonly string[]
  readonly ipsec: IpsecConfig
  readonly websocket: WebsocketConfig
  /** Literal endpoints at which STUN is answered besides (RFC 5780). */
  readonly stunAlternates: readonly string[]
  readonly pki: PkiConfig
  /** How long an expired certificate may still renew itself, in days. */
  readonly renewDays: number
  /** Likewise where it is the only one that its device ever had; 0: no longer than any other. */
  readonly shelfDays: number
  /** Who is asked before somebody enrols. */
  readonly enrolment: EnrolmentRules
  readonly telemetryKeep: Duration
  /** 0: no limit. */
  readonly telemetryRows: number
  readonly logLevel: (typeof logLevels)[number]
}

export type OpenPorts = 'all' | readonly number[]

/** What outsiders may know of the fleet's certificates. */
export interface PkiConfig {
  /** Under which certificates say that lists and OCSP are found; undefined: they say nothing. */
  readonly url: string | undefined
  /** Where these are answered over plain HTTP beside the API; undefined: nowhere. */
  readonly http: string | undefined
}

/** Datagrams in WebSockets. The API takes them anyway; this is another port for them. */
export interface WebsocketConfig {
  /** Undefined: none. */
  readonly listen: string | undefined
  /** PEM files; undefined: the certificate of the API. */
  readonly pem: { readonly certificate: string; readonly key: string } | undefined
  /** `wss:` URLs that agents are told; empty: what they reached the API by. */
  readonly public: readonly string[]
}

/** IKEv2 and ESP, on the port of the tunnels. */
export interface IpsecConfig {
  readonly enabled: boolean
  /** Where bare IKE is taken beside it, likewise; undefined: nowhere. */
  readonly port500: string | undefined
  /** Where IKE and ESP are taken over TCP (RFC 9329): `auto`, the port of the tunnels; `off`; or likewise. */
  readonly tcp: string
  /** What is agreed to, in order of preference. */
  readonly ikeProposals: readonly Proposal[]
  readonly espProposals: readonly Proposal[]
  /** The host name or address as which the broker proves itself; undefined: found out. */
  readonly id: string | undefined
  /** Name servers for peers that ask. */
  readonly dns: readonly string[]
  /** The gateway to which peers are sent when this one stops; undefined: they come back when it does. */
  readonly redirectTo: string | undefined
}

/** Every key of the file, dotted: `tunnel.keepalive`. */
export const configKeys: readonly string[] = keysOf(schema)

/** The configuration in a file's text; `file` is for messages. Throws AditError `config-invalid` that names file, line and mend. */
export function parseConfig(text: string, file: string): Config {
  const parsed = schema.safeParse(readToml(text, file))
  if (!parsed.success) throw issueError(parsed.error, text, file)
  const { tunnel, ipsec, websocket, stun, telemetry, enrolment, log, pki, ...top } = parsed.data
  return {
    listen: top.listen,
    api: top.api,
    publicEndpoints: top['public-endpoints'],
    publicApi: top['public-api'],
    publicAddresses: top['public-addresses'],
    apiNames: top['api-names'],
    keepalive: tunnel.keepalive,
    innerMtu: tunnel.mtu === 'auto' ? undefined : tunnel.mtu,
    engine: tunnel.engine,
    lanes: tunnel.lanes,
    tun: tunnel.tun || undefined,
    hostToAgents: tunnel['host-to-agents'],
    agentsToHost: tunnel['agents-to-host'],
    mqttPort: tunnel['mqtt-port'],
    avoidNetworks: tunnel['avoid-networks'],
    ipsec: {
      enabled: ipsec.enabled,
      port500: ipsec.port500 || undefined,
      tcp: ipsec.tcp,
      ikeProposals: ipsec['ike-proposals'],
      espProposals: ipsec['esp-proposals'],
      id: ipsec.id.toLowerCase() || undefined,
      dns: ipsec.dns,
      redirectTo: ipsec['redirect-to'] || undefined,
    },
    websocket: {
      listen: websocket.listen || undefined,
      pem: websocket.certificate === '' ? undefined : { certificate: websocket.certificate, key: websocket.key },
      public: websocket.public,
    },
    stunAlternates: stun.alternate,
    pki: { url: pki.url || undefined, http: pki.http || undefined },
    renewDays: enrolment['renew-days'],
    shelfDays: enrolment['shelf-days'],
    enrolment: {
      queue: enrolment.queue,
      retryAfter: Math.round(enrolment['retry-after'] / 1_000),
      hook: enrolment.hook === '' ? undefined : { place: enrolment.hook, ca: enrolment['hook-ca'] || undefined },
    },
    telemetryKeep: telemetry.keep,
    telemetryRows: telemetry['max-readings'],
    logLevel: log.level,
  }
}

/** `host:port` that others can dial: a name or a literal address, and a port that is not 0. */
export function isPublicEndpoint(text: string): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|[A-Za-z0-9._-]+):([1-9]\d{0,4})$/.exec(text)
  return match !== null && Number(match[2]) <= 65_535 && (match[1] === undefined || isAddress(match[1]))
}

/** Address (undefined: all of both families) and port of a listen text; undefined where it is none. */
export function trySplitListen(text: string): { address?: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]*)):(\d{1,5})$/.exec(text)
  if (!match || Number(match[3]) > 65_535) return undefined
  const address = match[1] ?? match[2] ?? ''
  if (address === '') return { port: Number(match[3]) }
  return isAddress(address) ? { address, port: Number(match[3]) } : undefined
}

function readToml(text: string, file: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? 'not TOML'
    throw invalid(`${file}:${error.line}`, reason, error)
  }
}

function issueError(error: z.ZodError, text: string, file: string): AditError {
  const issue = error.issues[0]
  const path = (issue?.path ?? []).filter((step) => typeof step === 'string')
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const key = [...path, ...(unknown === undefined ? [] : [unknown])]
  const reason =
    unknown === undefined ? `${key.join('.')}: ${issue?.message ?? 'not usable'}` : `there is no key ${key.join('.')}`
  return invalid(`${file}:${lineOf(text, key)}`, reason, error)
}

const invalid = (place: string, reason: string, cause: unknown): AditError =>
  new AditError('config-invalid', `${place}: ${reason}.`, 'Mend that line; adit-broker.example.toml shows each key.', { cause })

/** The line, from 1, on which the key (or the last of its tables that is there) stands. */
function lineOf(text: string, key: readonly string[]): number {
  const wanted = key.join('.')
  let table = ''
  let best = 1
  for (const [at, line] of text.split('\n').entries()) {
    const header = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)
    if (header) table = `${header[1]}.`
    const name = header
      ? table.slice(0, -1)
      : table + (/^\s*(?:"([^"]*)"|([^=\s]+))\s*=/.exec(line)?.slice(1).find(Boolean) ?? '')
    if (name === wanted) return at + 1
    if (header && wanted.startsWith(table)) best = at + 1
  }
  return best
}

function keysOf(object: z.ZodObject, prefix = ''): string[] {
  return Object.entries(object.shape).flatMap(([key, value]) => {
    const inner = value instanceof z.ZodPrefault ? value.unwrap() : value
    return inner instanceof z.ZodObject ? keysOf(inner, `${prefix}${key}.`) : [`${prefix}${key}`]
  })
}

/** A program is named by where it is: nothing is looked for in a PATH. */
function isHookPlace(text: string): boolean {
  if (!text.startsWith('https://')) return isPathOrNone(text)
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && url.hash === ''
}

function isPathOrNone(text: string): boolean {
  return text === '' || text.startsWith('/')
}

function isNetwork(text: string): boolean {
  try {
    return parseCidr(text).address.length > 0
  } catch {
    return false
  }
}

function isIkeId(text: string): boolean {
  return text === '' || isHostName(text) || isAddress(text)
}

function isAddress(text: string): boolean {
  return isNetwork(text) && !text.includes('/')
}
