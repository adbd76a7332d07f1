import type { Suite } from '#shared/crypto/suite.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** What the client trusts before it writes a byte: the root's certificate, or only its SHA-256 (from a claim), sent with the chain. */
export type Trust = { rootFingerprint: Uint8Array } | { rootDer: Uint8Array }

export interface HttpsClientOptions {
  suite: Suite
  trust: Trust
  /** The time at which certificates are judged (DESIGN D5): the time floor, never the bare wall clock. */
  time(): WallTime
  /** Client certificate for mutual TLS: PEM. */
  identity?: { key: string; chain: string }
  /** Addresses of a host where DNS fails or is slow (F-08): the last good ones. */
  lastGoodAddresses?(host: string): readonly string[]
}

export interface HttpsRequest {
  url: string
  method?: string
  headers?: Record<string, string>
  body?: Uint8Array | string
  /** Milliseconds for the whole exchange; 15 s unless said otherwise. */
  timeoutMs?: number
}

export interface HttpsResponse {
  status: number
  headers: Record<string, string>
  body: Uint8Array
  /** The address that answered: to be kept as last good. */
  address: string
}

export declare class HttpsClient {
  constructor(options: HttpsClientOptions)
  /** Throws AditError `broker-unreachable`, `ca-mismatch`, `certificate-refused` or `clock-wrong`; HTTP errors are answers. */
  request(request: HttpsRequest): Promise<HttpsResponse>
  /** DER of the root that the last connection proved; undefined before. */
  readonly rootDer: Uint8Array | undefined
  close(): void
}
