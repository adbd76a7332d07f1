import { documentOf, firstThatAnswers, type Requester } from '#agent/io/broker-api.ts'

/** A device as `GET /v1/devices` shows it. */
export interface Device {
  readonly id: string
  readonly name: string
  readonly state: 'up' | 'down' | 'never' | 'revoked'
  /** ISO 8601; null where the device was never heard. */
  readonly since: string | null
  readonly evidenceAgeSeconds: number | null
  /** Age of the last unproven sign of life; a broker of before leaves it out. */
  readonly keepaliveAgeSeconds?: number | null
  /** Inside the tunnel. */
  readonly addresses: readonly string[]
  readonly tags: readonly string[]
  /** By service; `changed` holds the keys that it shows now where they differ from the pinned ones. */
  readonly hostKeys: Readonly<Record<string, { keys: readonly string[]; changed: readonly string[] | null }>>
  readonly endpoint: string | null
  /** Ranges of ports, both ends in them, that your grants open there now. */
  readonly ports: readonly { from: number; to: number }[]
  /** A plain WireGuard peer, without our agent. */
  readonly stock: boolean
  /** X25519 public key, base64; a broker of before leaves it out. */
  readonly tunnelKey?: string | null
  /** Of a device asked for by name: what the fleet key says of it, COSE_Sign1 in base64. */
  readonly statements?: readonly string[]
  /** Set here, never by the broker: host keys are those that the pinned fleet key has signed. */
  readonly hostKeysSigned?: boolean
  /** Set here, never by the broker: a station vouches for its tunnel key, and its ssh host key is taken at first use, inside the association. */
  readonly firstUseSealed?: boolean
  /** What its tunnel costs; a broker of before leaves it out. */
  readonly data?: DeviceData
}

/** Bytes are of the interface, with IP and UDP headers, both directions. */
interface DeviceData {
  readonly mode: 'normal' | 'metered' | 'on-demand'
  readonly monthlyMegabytes: number | null
  /** How often it shows a sign of life while it is idle. */
  readonly paceSeconds: number | null
  /** How long a call may have to wait for it. */
  readonly wakeSeconds: number
  readonly todayBytes: number
  readonly monthBytes: number
  readonly projectedMonthBytes: number | null
  readonly estimatedBytes: number
}

export interface Reading {
  readonly name: string
  readonly value: unknown
  readonly unit: string | null
  /** ISO 8601. */
  readonly at: string
  readonly boot: number
  readonly seq: number
}

export interface AuditRow {
  readonly id: number
  readonly at: string
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** Also what `adit-broker fleet pending --json` writes. */
export interface PendingStatements {
  /** SHA-256 of the fleet's root certificate, base64. */
  readonly fleet: string
  /** The fleet key that the broker has pinned, base64. */
  readonly key: string | null
  readonly pending: readonly { readonly subject: string; readonly reason: string; readonly draft: string }[]
  readonly unsayable: readonly { readonly subject: string; readonly why: string }[]
}

export interface Why {
  readonly verdict: string
  /** Worst first. Without state and mend from a broker that is older than they. */
  readonly facts: readonly {
    readonly code: string
    readonly text: string
    readonly ok: boolean
    readonly state?: 'broken' | 'warn' | 'ok'
    readonly mend?: string
  }[]
  readonly mend: string
}

/** Extra time that a long poll's exchange may take beyond its wait, ms. */
const longPollSlackMs = 15_000

/** The broker's API with the operator's certificate. Every method throws AditError, the broker's own where it sent one. */
export class OperatorApi {
  readonly #https: Requester
  readonly #urls: readonly string[]

  /** `urls`: where the API answers, in the order to try. */
  constructor(https: Requester, urls: readonly string[]) {
    this.#https = https
    this.#urls = urls
  }

  whoAmI(): Promise<{ id: string; name: string; admin: boolean; certificate: { notAfter: string } }> {
    return this.#get('/v1/operator')
  }

  devices(): Promise<Device[]> {
    return this.#get('/v1/devices')
  }

  device(name: string): Promise<Device> {
    return this.#get(`/v1/devices/${encodeURIComponent(name)}`)
  }

  why(name: string, port: number): Promise<Why> {
    return this.#get(`/v1/devices/${encodeURIComponent(name)}/why`, { port })
  }

  acceptKey(name: string, service: string): Promise<{ keys: string[] }> {
    return this.#exchange({ method: 'POST', path: `/v1/devices/${encodeURIComponent(name)}/host-keys/accept`, body: { service } })
  }

  /** `wait`: seconds to wait for something new. */
  telemetry(
    name: string,
    query: { after?: string; limit?: number; wait?: number; name?: string; since?: string },
  ): Promise<{ readings: Reading[]; next: string }> {
    return this.#get(`/v1/devices/${encodeURIComponent(name)}/telemetry`, query, longPollSlackMs + (query.wait ?? 0) * 1000)
  }

  /** What waits for the fleet key, behind `after`; only an administrator is told. */
  pendingStatements(query: { after?: string; all?: boolean }): Promise<PendingStatements> {
    const { after, all } = query
    return this.#get('/v1/fleet/pending', { after, ...(all && { all: 'true' }) })
  }

  /** Signed statements, base64; the broker takes all or none. */
  submitStatements(statements: readonly string[]): Promise<{ taken: number; fingerprint: string }> {
    return this.#exchange({ method: 'POST', path: '/v1/fleet/statements', body: { statements } })
  }

  audit(query: { after?: number; limit?: number }): Promise<{ rows: AuditRow[]; next: number }> {
    return this.#get('/v1/audit', query)
  }

  #get<T>(path: string, query: Record<string, string | number | undefined> = {}, timeoutMs?: number): Promise<T> {
    const words = Object.entries(query).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, String(value)] as [string, string]],
    )
    const search = words.length === 0 ? '' : `?${new URLSearchParams(words)}`
    return this.#exchange({ method: 'GET', path: path + search, ...(timeoutMs !== undefined && { timeoutMs }) })
  }

  async #exchange<T>({
    method,
    path,
    body,
    timeoutMs,
  }: {
    method: string
    path: string
    body?: object
    timeoutMs?: number
  }): Promise<T> {
    const response = await firstThatAnswers(this.#urls, (url) =>
      this.#https.request({
        url: url + path,
        method,
        headers: { accept: 'application/json', ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
        ...(timeoutMs !== undefined && { timeoutMs }),
      }),
    )
    return documentOf(response) as T
  }
}
