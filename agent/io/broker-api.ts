import { type AgentConfig, parseAgentConfig } from '#agent/core/agent-config.ts'
import { AditError, type ErrorCode, exitStatuses, isAditError } from '#shared/errors.ts'
import type { HttpsRequest, HttpsResponse } from '#shared/platform/tls.ts'

/** What is needed of `HttpsClient`. */
export interface Requester {
  request(request: HttpsRequest): Promise<HttpsResponse>
}

const TIMEOUT_MS = 8_000

/** The broker's API as an agent uses it, over mutual TLS; its URLs are tried in order. Every method throws AditError. */
export class BrokerApi {
  readonly #https: Requester
  readonly #urls: readonly string[]

  constructor(https: Requester, urls: readonly string[]) {
    this.#https = https
    this.#urls = urls
  }

  async config(): Promise<AgentConfig> {
    return parseAgentConfig(await this.#get('/v1/agent/config'))
  }

  /** The TAI64N (12 bytes) that the broker took last from this agent's tunnel key. */
  async timestamp(): Promise<Uint8Array | undefined> {
    const { timestamp } = (await this.#get('/v1/agent/timestamp')) as { timestamp?: unknown }
    const isTimestamp = typeof timestamp === 'string' && /^[0-9a-f]{24}$/i.test(timestamp)
    return isTimestamp ? new Uint8Array(Buffer.from(timestamp, 'hex')) : undefined
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

  async #get(path: string): Promise<object> {
    return documentOf(
      await firstThatAnswers(this.#urls, (url) => this.#https.request({ url: url + path, timeoutMs: TIMEOUT_MS })),
    )
  }
}

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
