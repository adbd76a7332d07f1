import { type AgentConfig, parseAgentConfig } from '#agent/core/agent-config.ts'
import { AditError, type ErrorCode, exitStatuses, isAditError } from '#shared/errors.ts'
import type { RootSuccession } from '#shared/pki/root-succession.ts'
import type { HttpsRequest, HttpsResponse } from '#shared/platform/tls.ts'

/** What is needed of `HttpsClient`. */
export interface Requester {
  request(request: HttpsRequest): Promise<HttpsResponse>
}

const TIMEOUT_MS = 8_000

/** COSE_Sign1 each: the order behind the links by which a pinned key is followed, and the claim whose hash it names. */
export interface BrokerOrder {
  readonly statements: readonly Uint8Array[]
  readonly next?: string
}

/** The broker's API as an agent uses it, over mutual TLS; its URLs are tried in order. Every method throws AditError. */
export class BrokerApi {
  readonly #https: Requester
  readonly #urls: readonly string[]
  readonly #roots: readonly string[]

  /** `roots`: SHA-256 of those that we trust, hex. */
  constructor(https: Requester, urls: readonly string[], roots: readonly string[] = []) {
    this.#https = https
    this.#urls = urls
    this.#roots = roots
  }

  /** `met`: the brokers that were met, the latest first, so that one hears of the other (`agent/core/met-brokers.ts`). */
  async config(met: readonly string[] = []): Promise<AgentConfig> {
    const headers = {
      ...(this.#roots.length > 0 && { 'adit-roots': this.#roots.join() }),
      ...(met.length > 0 && { 'adit-met': met.join() }),
    }
    return parseAgentConfig(await this.#get('/v1/agent/config', headers))
  }

  /** How the fleet's roots follow one another: nothing of it is to be believed but what is signed. */
  async rootSuccession(): Promise<RootSuccession & { readonly trusted: readonly string[] }> {
    const { roots, links, trusted } = (await this.#get('/v1/ca/transitions')) as Record<string, unknown>
    const texts = (value: unknown): string[] =>
      Array.isArray(value) ? value.filter((text): text is string => typeof text === 'string') : []
    const ders = (value: unknown): Uint8Array[] => texts(value).map((text) => Uint8Array.from(Buffer.from(text, 'base64')))
    return { roots: ders(roots), links: ders(links), trusted: texts(trusted) }
  }

  /** The TAI64N (12 bytes) that the broker took last from this agent's tunnel key. */
  async timestamp(): Promise<Uint8Array | undefined> {
    const { timestamp } = (await this.#get('/v1/agent/timestamp')) as { timestamp?: unknown }
    return timestampOf(timestamp)
  }

  /** A contact of the ratchet (shared/enrolment/ratchet.ts). */
  async ratchet(contact: object): Promise<RatchetReply> {
    const body = JSON.stringify(contact)
    const headers = { 'content-type': 'application/json' }
    const document = await firstThatAnswers(this.#urls, async (url) =>
      documentOf(
        await this.#https.request({ url: `${url}/v1/agent/ratchet`, method: 'POST', headers, body, timeoutMs: TIMEOUT_MS }),
      ),
    )
    return ratchetReply(document)
  }

  /** What the agent's doctor found, for `adit why`. */
  async tellDiagnosis(diagnosis: object): Promise<void> {
    const body = JSON.stringify(diagnosis)
    const headers = { 'content-type': 'application/json' }
    const path = '/v1/agent/diagnosis'
    await firstThatAnswers(this.#urls, async (url) =>
      bodyOf(await this.#https.request({ url: url + path, method: 'PUT', headers, body, timeoutMs: TIMEOUT_MS })),
    )
  }

  /** The order to forget this fleet that waits for us, unjudged; the broker's clock, ms since 1970. */
  async order(): Promise<{ order: BrokerOrder | undefined; time: number }> {
    const { order, time } = (await this.#get('/v1/agent/order')) as { order?: Record<string, unknown> | null; time?: unknown }
    const clock = Number.isSafeInteger(time) ? (time as number) : 0
    if (!order || typeof order.id !== 'string' || !Array.isArray(order.statements)) return { order: undefined, time: clock }
    const statements = order.statements.map((text) => Uint8Array.from(Buffer.from(String(text), 'base64')))
    return { order: { statements, ...(typeof order.next === 'string' && { next: order.next }) }, time: clock }
  }

  /** The last word: `shared/fleet/wipe-evidence.ts`. */
  async farewell(evidence: Uint8Array): Promise<void> {
    const body = JSON.stringify({ evidence: Buffer.from(evidence).toString('base64') })
    const headers = { 'content-type': 'application/json' }
    await firstThatAnswers(this.#urls, async (url) =>
      bodyOf(await this.#https.request({ url: `${url}/v1/agent/order`, method: 'PUT', headers, body, timeoutMs: TIMEOUT_MS })),
    )
  }

  async #get(path: string, headers: Record<string, string> = {}): Promise<object> {
    return documentOf(
      await firstThatAnswers(this.#urls, (url) => this.#https.request({ url: url + path, headers, timeoutMs: TIMEOUT_MS })),
    )
  }
}

export type RatchetReply = {
  /** The TAI64N that the broker took last from our tunnel key. */
  readonly timestamp: Uint8Array | undefined
} & (
  | { readonly verdict: 'advanced' }
  | { readonly verdict: 'renew-keys'; readonly ticket: string }
  | { readonly verdict: 'held'; readonly clone: number; readonly claim: string | undefined }
)

function ratchetReply(document: object): RatchetReply {
  const { verdict, ticket, clone, claim, timestamp: told } = document as Record<string, unknown>
  const timestamp = timestampOf(told)
  if (verdict === 'renew-keys' && typeof ticket === 'string') return { verdict, ticket, timestamp }
  if (verdict === 'held' && typeof clone === 'number' && Number.isSafeInteger(clone))
    return { verdict, clone, claim: typeof claim === 'string' ? claim : undefined, timestamp }
  if (verdict === 'advanced') return { verdict, timestamp }
  throw unreadable(200)
}

const timestampOf = (text: unknown): Uint8Array | undefined =>
  typeof text === 'string' && /^[0-9a-f]{24}$/i.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : undefined

/** The first URL that is reached at all; one that refuses has answered. */
export async function firstThatAnswers<T>(urls: readonly string[], ask: (url: string) => Promise<T>): Promise<T> {
  let last: unknown = new AditError('not-enrolled', 'No broker is known.', 'Enrol with a claim: adit-agent enrol --claim TOKEN')
  for (const url of urls) {
    try {
      return await ask(url.replace(/\/+$/, ''))
    } catch (error) {
      if (!isAditError(error) || error.code !== 'broker-unreachable') throw error
      last = error
    }
  }
  throw last
}

/** The body of an answer that grants; throws the AditError that a refusal carries. */
export function bodyOf(response: HttpsResponse): Uint8Array {
  if (response.status < 200 || response.status >= 300) throw refusalIn(response)
  return response.body
}

/** The JSON object of an answer that grants. */
export function documentOf(response: HttpsResponse): object {
  const document = jsonOf(bodyOf(response))
  if (document === undefined) throw unreadable(response.status)
  return document
}

function refusalIn({ status, body }: HttpsResponse): AditError {
  const { error, message, mend } = (jsonOf(body) ?? {}) as Record<string, unknown>
  if (typeof error !== 'string' || !Object.hasOwn(exitStatuses, error)) return unreadable(status)
  return new AditError(error as ErrorCode, String(message), String(mend))
}

function jsonOf(body: Uint8Array): object | undefined {
  try {
    const document: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
    return typeof document === 'object' && document !== null ? document : undefined
  } catch {
    return undefined
  }
}

const unreadable = (status: number): AditError =>
  new AditError(
    'internal',
    `The broker's answer (status ${status}) cannot be read.`,
    'Check that the API is that of an adit broker.',
  )
