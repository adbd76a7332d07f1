import { AditError } from '#shared/errors.ts'
import { type DataMode, dataModes } from '#shared/nat/data-budget.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'

/**
 * What `GET /v1/agent/config` tells an agent: who it is, where its broker is, and its place inside the tunnel. It is kept in the
 * state folder, so that a cold start needs neither the API nor DNS. Checked by hand: a schema library would cost the agent 40 ms.
 */
export interface AgentConfig {
  readonly name: string
  readonly role: 'device' | 'operator'
  readonly id: string
  readonly fleet: {
    readonly prefix: string
    /** Ed25519 public keys, 32 bytes each in base64, whose statements count where no key is pinned (DESIGN D6). */
    readonly keys?: readonly string[]
    /** SHA-256 of the roots that the broker trusts now, hex. */
    readonly roots?: readonly string[]
  }
  readonly broker: {
    /** X25519 public key of the broker, 32 bytes in base64. */
    readonly tunnelKey: string
    /** Outer `host:port`, `1.2.3.4:port` or `[v6]:port`, in the order to try. */
    readonly endpoints: readonly string[]
    /** The broker's addresses inside the tunnel. */
    readonly inner: readonly string[]
    readonly mqttPort: number
    /** Which life of its data folder the broker is in: `EPOCH.ID`. A restore begins another. */
    readonly incarnation?: string
    /** Further STUN servers, written as `endpoints` are: other places from which to see ourselves (RFC 5780). */
    readonly stun?: readonly string[]
    /** `wss:` URLs at which datagrams are taken where UDP is blocked (DESIGN D8), in the order to try. */
    readonly streams?: readonly string[]
    /** Where the broker speaks IKEv2: the identity that it proves, as a person writes it (`broker.example`, `CN=…`). */
    readonly ike?: { readonly id: string }
  }
  readonly inner: { readonly addresses: readonly string[] /** Bytes. */; readonly mtu: number }
  readonly keepaliveSeconds: number
  /** What the tunnel's data may cost; a broker that sends it takes the word of the agent's pace (`shared/telemetry/topics.ts`). */
  readonly data?: DataDocument
  /** The broker's wall clock when it answered, ms since 1970: raises the time floor. */
  readonly time: number
  readonly certificate: {
    /** ms since 1970. */
    readonly notAfter: number
    /** It is by a CA that issues no more: to be renewed within so long. */
    readonly renewWithinSeconds?: number
  }
  /** Inner CIDRs that are reached, and may be heard from, through the broker. */
  readonly routes: readonly string[]
}

/** The configuration in a JSON document of the API or of the state folder. Throws AditError `config-invalid` naming the field. */
export function parseAgentConfig(document: unknown): AgentConfig {
  const root = new Field(document, '')
  const broker = root.in('broker')
  const inner = root.in('inner')
  const hurry = root.in('certificate').in('renewWithinSeconds')
  return {
    name: root.in('name').text(),
    role: root.in('role').oneOf(['device', 'operator']),
    id: root.in('id').text(),
    fleet: {
      prefix: root.in('fleet').in('prefix').text(),
      ...(root.in('fleet').in('keys').given && { keys: root.in('fleet').in('keys').keys() }),
      ...(root.in('fleet').in('roots').given && { roots: root.in('fleet').in('roots').texts() }),
    },
    broker: {
      tunnelKey: broker.in('tunnelKey').key(),
      endpoints: broker.in('endpoints').endpoints(),
      inner: broker.in('inner').texts(),
      mqttPort: broker.in('mqttPort').integer(1, 65535),
      ...(broker.in('incarnation').given && { incarnation: broker.in('incarnation').text() }),
      ...(broker.in('stun').given && { stun: broker.in('stun').endpoints() }),
      ...(broker.in('streams').given && { streams: broker.in('streams').texts().filter(isStreamUrl) }),
      ...(broker.in('ike').given && { ike: { id: broker.in('ike').in('id').text() } }),
    },
    inner: { addresses: inner.in('addresses').texts(), mtu: inner.in('mtu').integer(576, 65535) },
    keepaliveSeconds: root.in('keepaliveSeconds').integer(1, 3600),
    ...(root.in('data').given && { data: parseData(root.in('data')) }),
    time: root.in('time').integer(0, Number.MAX_SAFE_INTEGER),
    certificate: {
      notAfter: root.in('certificate').in('notAfter').integer(0, Number.MAX_SAFE_INTEGER),
      ...(hurry.given && { renewWithinSeconds: hurry.integer(0, Number.MAX_SAFE_INTEGER) }),
    },
    routes: root.in('routes').texts(),
  }
}

/** One of another kind is a newer broker's, and no reason to refuse the rest. */
const isStreamUrl = (text: string): boolean => text.startsWith('wss://') && URL.canParse(text)

export interface DataDocument {
  readonly mode: DataMode
  /** 10^6 octets at the interface in 30 days. */
  readonly monthlyMegabytes?: number
  /** On demand: between two polls. */
  readonly pollMinutes?: number
  /** Where network and budget cannot both be had. */
  readonly exceeded?: 'stay' | 'on-demand'
}

/** A mode that a newer broker may know is `normal` to us, so that nothing is lost. */
function parseData(data: Field): DataDocument {
  const megabytes = data.in('monthlyMegabytes')
  const poll = data.in('pollMinutes')
  return {
    mode: dataModes.find((mode) => mode === data.in('mode').text()) ?? 'normal',
    ...(megabytes.given && { monthlyMegabytes: megabytes.number(0.01, 1e9) }),
    ...(poll.given && { pollMinutes: poll.integer(1, 1440) }),
    ...(data.in('exceeded').given && { exceeded: data.in('exceeded').oneOf(['stay', 'on-demand']) }),
  }
}

/** The broker's tunnel key as 32 bytes. */
export const brokerTunnelKey = (config: AgentConfig): Uint8Array => new Uint8Array(Buffer.from(config.broker.tunnelKey, 'base64'))

/** `host:port` or `[v6]:port` in two parts, the host still possibly a name. Undefined where it is neither. */
export function splitHostPort(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(text)
  const address = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return address === undefined || port < 1 || port > 65535 ? undefined : { address, port }
}

/** One value of the document with the path that led to it, so that every refusal names its field. */
class Field {
  readonly #value: unknown
  readonly #path: string

  constructor(value: unknown, path: string) {
    this.#value = value
    this.#path = path
  }

  in(name: string): Field {
    if (typeof this.#value !== 'object' || this.#value === null) throw this.#refused('an object')
    return new Field((this.#value as Record<string, unknown>)[name], this.#path === '' ? name : `${this.#path}.${name}`)
  }

  get given(): boolean {
    return this.#value !== undefined && this.#value !== null
  }

  text(): string {
    if (typeof this.#value !== 'string' || this.#value === '') throw this.#refused('a text')
    return this.#value
  }

  texts(): string[] {
    if (!Array.isArray(this.#value)) throw this.#refused('a list of texts')
    return this.#value.map((item, i) => new Field(item, `${this.#path}[${i}]`).text())
  }

  integer(min: number, max: number): number {
    const value = this.#value
    if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max)
      throw this.#refused(`a whole number from ${min} to ${max}`)
    return value as number
  }

  number(min: number, max: number): number {
    const value = this.#value
    if (typeof value !== 'number' || !(value >= min && value <= max)) throw this.#refused(`a number from ${min} to ${max}`)
    return value
  }

  oneOf<const T extends string>(choices: readonly T[]): T {
    const choice = choices.find((name) => name === this.#value)
    if (choice === undefined) throw this.#refused(choices.join(' or '))
    return choice
  }

  key(): string {
    const text = this.text()
    if (Buffer.from(text, 'base64').length !== 32) throw this.#refused('32 bytes in base64')
    return text
  }

  keys(): string[] {
    return this.texts().map((_, i) => new Field((this.#value as unknown[])[i], `${this.#path}[${i}]`).key())
  }

  endpoints(): string[] {
    const texts = this.texts()
    if (texts.length === 0) throw this.#refused('at least one HOST:PORT')
    for (const text of texts) if (splitHostPort(text) === undefined) throw this.#refused('a list of HOST:PORT')
    return texts
  }

  #refused(wanted: string): AditError {
    const where = this.#path === '' ? 'The document' : `Its field "${this.#path}"`
    return new AditError(
      'config-invalid',
      `The agent's configuration from the broker is unusable: ${where} is not ${wanted}.`,
      'Check that agent and broker are of matching versions, then restart the agent.',
    )
  }
}
