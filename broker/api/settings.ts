import type { EnrolmentRules } from '#broker/enrolment/enrolment-rules.ts'
import type { AdvertisedStreams } from '#broker/gateway/stream-ports.ts'

/** What the API needs to know of the broker's configuration. */
export interface ApiSettings {
  /** Where HTTPS is listened on: `ADDR:PORT` or `[V6]:PORT`; port 0 picks a free one. */
  readonly listen: string
  /** The program's version, for `/healthz`. */
  readonly version: string
  /** Outer UDP endpoints that agents are told, in the order to try; empty: the address that the agent reached us by. */
  readonly publicEndpoints: readonly string[]
  /** What agents are told of WebSockets that bear their datagrams; left out: the API's own port alone. */
  readonly streams?: AdvertisedStreams
  /** TCP port of MQTT at the broker's inner addresses. */
  readonly mqttPort: number
  /** Seconds between keepalives of an agent that has not measured its NAT. */
  readonly keepaliveSeconds: number
  /** Largest inner packet, bytes. */
  readonly innerMtu: number
  /** Whether agents may come by the esp suite. */
  readonly ipsec: boolean
  /** How long an expired certificate may still renew itself, in days. */
  readonly renewDays: number
  /** Likewise where it is the only one that its device ever had. */
  readonly shelfDays: number
  /** Left out: the standard ones. */
  readonly enrolment?: EnrolmentRules
}

/** Largest request body, bytes: a PKCS#10 request in base64 is below 4 KiB. */
export const bodyLimit = 32 * 1024

/** A long poll waits at most so many seconds; the socket's idle timeout is above it. */
export const longestWaitSeconds = 55

export const socketIdleMs = 75_000
export const handshakeTimeoutMs = 10_000
/** Time that a client has for its headers, and for its whole request. */
export const headersTimeoutMs = 10_000
export const requestTimeoutMs = 20_000

/** Requests a minute of one authenticated principal; beyond that it is told to slow down. */
export const requestsPerMinute = 1_200
