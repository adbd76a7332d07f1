import { bodyOf, documentOf, firstThatAnswers, type Requester } from '#agent/io/broker-api.ts'
import type { OfferedDevice } from '#agent/station/core/vouching.ts'
import { AditError } from '#shared/errors.ts'

/** How far the broker knows the ledger, and what it says of the delegation. */
export interface BrokerView {
  readonly number: number
  /** Hex. */
  readonly hash: string
  readonly quota: number
  readonly used: number
  readonly conflicts: number
  /** Serial number (hex) of the certificate that it has made for the station's CA, and whether it would make another. */
  readonly ca: string | null
  readonly due: boolean
  /** Whether it may answer OCSP for our units; undefined of a broker that does not know how. */
  readonly answers?: boolean
  /** Whether the fleet has a key under which we may vouch; the key (hex) by which we would, as it knows it; devices that wait for that. */
  readonly fleetKey?: boolean
  readonly statementKey?: string | null
  readonly waiting?: number
}

/** Devices of ours that wait for our word, some at a time. */
export interface WaitingDevices {
  /** What the fleet key lets us say, COSE_Sign1, unjudged; undefined: nothing. */
  readonly delegation: Uint8Array | undefined
  readonly devices: readonly OfferedDevice[]
  /** Name of the last of them; undefined: there are no more. */
  readonly last: string | undefined
}

/** A unit of ours that the broker does not take, and what stands against it. */
export interface Misfit {
  /** Its board's serial number; null where only its certificate is known. */
  readonly unit: string | null
  readonly name: string
  readonly kind: string
  readonly against: string
  readonly mend: string
}

export interface IssuedChain {
  /** PEM without the root. */
  readonly chain: string
  readonly root: string
}

const patienceMs = 8_000

/** What a station asks of its broker, under its own certificate. Every method throws AditError; `broker-unreachable` where nobody answers. */
export class StationBroker {
  readonly #https: () => Requester
  readonly #urls: readonly string[]

  constructor(https: () => Requester, urls: readonly string[]) {
    this.#https = https
    this.#urls = urls
  }

  /** `entries`: of the ledger as it is here. */
  async view(entries: number, timeoutMs = patienceMs): Promise<BrokerView> {
    const path = `/v1/station?entries=${entries}`
    const view = await firstThatAnswers(this.#urls, (url) => this.#https().request({ url: url + path, timeoutMs }))
    return documentOf(view) as BrokerView
  }

  /** Units that do not fit, the first hundred; none where the broker is too old to tell. */
  async misfits(): Promise<Misfit[]> {
    const url = '/v1/station/conflicts'
    const answer = await firstThatAnswers(this.#urls, (api) => this.#https().request({ url: api + url, timeoutMs: patienceMs }))
    if (answer.status === 404) return []
    return (documentOf(answer) as { conflicts: Misfit[] }).conflicts
  }

  /** `request`: PKCS#10 of the key of the station's CA. */
  delegation(request: Uint8Array): Promise<IssuedChain> {
    return this.#chain('/v1/station/delegation', { request: base64(request) })
  }

  /** `certificate`: DER, by the station's CA: the broker may answer OCSP in its name. */
  async responder(certificate: Uint8Array): Promise<void> {
    await this.#post('/v1/station/responder', { certificate: base64(certificate) }, 'PUT')
  }

  /** A unit's certificate by the broker's own CA. */
  unit(asked: { unit: string; name: string; request: Uint8Array }): Promise<IssuedChain> {
    return this.#chain('/v1/station/units', { ...asked, request: base64(asked.request) })
  }

  /**
   * Whether the station may certify a key of the board's own: what the broker would say of it later, and the fleet's hook, they say now.
   * `key`: SHA-256 of its SPKI, hex.
   */
  async leave(asked: { unit: string; name: string; key: string }): Promise<void> {
    await this.#post('/v1/station/leave', asked)
  }

  /** The head behind what was sent. */
  async ledger(from: number, entries: readonly Uint8Array[], seal: Uint8Array): Promise<{ number: number; hash: string }> {
    const body = { from, entries: entries.map(base64), seal: base64(seal) }
    return (await this.#post('/v1/station/ledger', body)) as { number: number; hash: string }
  }

  /** `key`: Ed25519, 32 bytes: by it we vouch for our devices. */
  async tellKey(key: Uint8Array): Promise<void> {
    await this.#post('/v1/station/statement-key', { key: base64(key) }, 'PUT')
  }

  /** Those behind the name `after`. */
  async waiting(after?: string): Promise<WaitingDevices> {
    const path = `/v1/station/statements${after === undefined ? '' : `?after=${encodeURIComponent(after)}`}`
    const answer = await firstThatAnswers(this.#urls, (url) => this.#https().request({ url: url + path, timeoutMs: patienceMs }))
    const page = documentOf(answer) as {
      delegation: string | null
      devices: { unit: string | null; draft: string }[]
      last: string | null
    }
    return {
      delegation: page.delegation === null ? undefined : fromBase64(page.delegation),
      devices: page.devices.map(({ unit, draft }) => ({ unit, draft: fromBase64(draft) })),
      last: page.last ?? undefined,
    }
  }

  /** Statements under our key. */
  async handIn(statements: readonly Uint8Array[]): Promise<void> {
    await this.#post('/v1/station/statements', { statements: statements.map(base64) })
  }

  /** X25519 public key, 32 bytes: tunnel keys of requests to the broker are proven against it. */
  async enrolmentKey(): Promise<Uint8Array> {
    const answer = await firstThatAnswers(this.#urls, (url) =>
      this.#https().request({ url: `${url}/v1/enrolment`, timeoutMs: patienceMs }),
    )
    const { enrolmentKey } = documentOf(answer) as { enrolmentKey?: unknown }
    const key = new Uint8Array(Buffer.from(typeof enrolmentKey === 'string' ? enrolmentKey : '', 'base64'))
    if (key.length === 32) return key
    throw new AditError(
      'internal',
      "The broker's answer holds no enrolment key.",
      'Check that the API is that of an adit broker.',
    )
  }

  async #chain(path: string, body: object): Promise<IssuedChain> {
    const { chain, root } = (await this.#post(path, body)) as { chain?: unknown; root?: unknown }
    if (typeof chain === 'string' && typeof root === 'string') return { chain, root }
    throw new AditError('internal', "The broker's answer holds no certificate.", 'Check that the API is that of an adit broker.')
  }

  async #post(path: string, document: object, method: 'POST' | 'PUT' = 'POST'): Promise<object> {
    const body = JSON.stringify(document)
    const headers = { 'content-type': 'application/json' }
    const request = (url: string) => this.#https().request({ url: url + path, method, headers, body, timeoutMs: patienceMs })
    const answer = await firstThatAnswers(this.#urls, request)
    return JSON.parse(Buffer.from(bodyOf(answer)).toString('utf8')) as object
  }
}

const fromBase64 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'base64'))
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
