import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { IdentityKey } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { channelExporter, proveChannel } from '#shared/pki/channel-proof.ts'
import type { ServerProof, Trust } from '#shared/pki/server-trust.ts'
import { readAnswer } from '#shared/platform/read-answer.ts'
import { resolveHost } from '#shared/platform/resolve-host.ts'
import { firstThatConnects } from '#shared/platform/tcp-first.ts'
import type { HttpProxy } from '#shared/platform/tcp-proxy.ts'
import { type ClientIdentity, connectTls } from '#shared/platform/tls-connect.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

export type { Trust } from '#shared/pki/server-trust.ts'

export interface HttpsClientOptions {
  suite: Suite
  /** What the server's chain must lead to before a byte is written to it; `'nobody'`: see `TlsTarget`. */
  trust: Trust | 'nobody'
  /** The time at which certificates are judged (DESIGN D5): the time floor, never the bare wall clock. */
  time(): WallTime
  /** Client certificate for mutual TLS: PEM. */
  identity?: ClientIdentity
  /** Client certificate of a key that TLS cannot use, proven on the channel once it stands: DER, leaf first. */
  channelIdentity?: { key: IdentityKey; chain: readonly Uint8Array[] }
  /** Addresses of a host where DNS fails or is slow (F-08): the last good ones. */
  lastGoodAddresses?(host: string): readonly string[]
  /** A server at that address has proven to be the host: worth remembering for when DNS is dead. */
  onProven?(host: string, address: string): void
  /** Instead of the system's resolver. */
  lookup?(host: string): Promise<readonly string[]>
  /** Through which proxy a place is reached, if through any. */
  proxy?(host: string, port: number): HttpProxy | undefined
}

export interface HttpsRequest {
  /** `https:` only. */
  url: string
  method?: string
  headers?: Record<string, string>
  body?: Uint8Array | string
  /** Milliseconds for the whole exchange; 15 s unless said otherwise. */
  timeoutMs?: number
}

export interface HttpsResponse {
  status: number
  /** Names in lower case; repeated ones joined by `, `. */
  headers: Record<string, string>
  body: Uint8Array
  /** The address that answered: to be kept as last good. */
  address: string
}

const defaultTimeoutMs = 15_000
/** Largest answer taken, in bytes. */
const bodyLimit = 8 * 1024 * 1024
/** How long a connection may stay unused, in ms; shorter than Node's servers keep theirs (5 s), so that none is used as it closes. */
const idleMs = 4_000

/**
 * A small HTTPS client whose servers are judged by our own chain check: at the time floor, up to a pinned root, before anything is
 * written. (With TLS 1.3 the client's own certificate goes out in the handshake, encrypted to whoever answered: no secret is in it.)
 */
export class HttpsClient {
  readonly #agent: PinnedAgent

  constructor(options: HttpsClientOptions) {
    this.#agent = new PinnedAgent(options)
  }

  /** DER of the root that the last connection proved; undefined before. */
  get rootDer(): Uint8Array | undefined {
    return this.#agent.proof?.rootDer
  }

  /** A time that has passed, says the CA's signature: the latest beginning in the last proven chain. Raises a time floor. */
  get provenTime(): WallTime | undefined {
    return this.#agent.proof?.notBefore
  }

  /** Throws AditError `broker-unreachable`, `ca-mismatch` or `certificate-refused`; an HTTP error is an answer. */
  async request(request: HttpsRequest): Promise<HttpsResponse> {
    const url = new URL(request.url)
    if (url.protocol !== 'https:')
      throw new AditError('config-invalid', `${request.url} is not an https: address.`, 'Use https:.')
    const timeoutMs = request.timeoutMs ?? defaultTimeoutMs
    try {
      return await this.#exchange(url, request, timeoutMs)
    } catch (error) {
      if (error instanceof AditError) throw error
      const why = error instanceof Error ? error.message : String(error)
      const mend = 'Check the network, and that the broker runs and is reachable at this address.'
      throw new AditError('broker-unreachable', `The broker at ${url.host} does not answer: ${why}.`, mend, { cause: error })
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Closes what is idle, and each connection that is in use when its answer is there. */
  retire(): void {
    this.#agent.retire()
  }

  #exchange(url: URL, request: HttpsRequest, timeoutMs: number): Promise<HttpsResponse> {
    return new Promise((resolve, reject) => {
      let outgoing: ClientRequest | undefined
      const timer = setTimeout(() => {
        const late = new Error(`no answer within ${timeoutMs / 1000} s`)
        reject(late)
        outgoing?.destroy(late)
      }, timeoutMs)
      const settle = (act: () => void): void => {
        clearTimeout(timer)
        act()
      }
      const body = request.body === undefined ? undefined : Buffer.from(request.body)
      outgoing = httpRequest({
        agent: this.#agent,
        protocol: 'https:',
        hostname: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? 443 : Number(url.port),
        path: url.pathname + url.search,
        method: request.method ?? 'GET',
        headers: { host: url.host, ...(body && { 'content-length': String(body.length) }), ...request.headers },
      })
      let address = ''
      const proves = this.#agent.provesChannels
      outgoing.once('socket', (socket) => {
        address = addresses.get(socket) ?? ''
        if (!proves) return
        // Nothing of the request has been written: it waited for the channel that it is proven on.
        for (const [name, value] of Object.entries(channelProofs.get(socket) ?? {})) outgoing?.setHeader(name, value)
        outgoing?.end(body)
      })
      outgoing.once('error', (error) => settle(() => reject(error)))
      outgoing.once('response', (incoming) => {
        readAnswer(incoming, bodyLimit).then(
          (bytes) => settle(() => resolve(answer(incoming, bytes, address))),
          (error) => settle(() => reject(error)),
        )
      })
      if (!proves) outgoing.end(body)
    })
  }
}

function answer(incoming: IncomingMessage, body: Uint8Array, address: string): HttpsResponse {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return { status: incoming.statusCode ?? 0, headers, body, address }
}

/** Where each connection went; a closed socket no longer knows. */
const addresses = new WeakMap<object, string>()
/** The headers that prove our certificate on each connection: a token signs once for it. */
const channelProofs = new WeakMap<object, Record<string, string>>()

/** Keeps connections alive, and makes them only to servers that were proven. */
class PinnedAgent extends Agent {
  readonly #options: HttpsClientOptions
  readonly #lastProven = new Map<string, readonly string[]>()
  proof: ServerProof | undefined

  constructor(options: HttpsClientOptions) {
    super({ keepAlive: true, maxSockets: 8, timeout: idleMs })
    this.#options = options
    // What requests are checked against; undocumented in types, documented for agents of https.
    Object.assign(this, { protocol: 'https:', defaultPort: 443 })
  }

  retire(): void {
    this.maxFreeSockets = 0
    for (const sockets of Object.values(this.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
  }

  get provesChannels(): boolean {
    return this.#options.channelIdentity !== undefined
  }

  override createConnection(
    target: { host?: string; port?: number },
    done: (error: Error | null, socket?: Duplex) => void,
  ): undefined {
    this.#connect(target.host ?? '', target.port ?? 443).then(
      (socket) => done(null, socket),
      (error: Error) => done(error),
    )
  }

  /** The first of the host's addresses that proves to be the one meant; a silent or an alien one costs a moment (a poisoned DNS, F-08). */
  async #connect(host: string, port: number): Promise<TLSSocket> {
    const proxy = this.#options.proxy?.(host, port)
    // A proxy resolves names itself.
    const candidates = proxy ? [host] : await this.#resolve(host)
    if (candidates.length === 0) throw new Error(`no address is known for ${host}`)
    const { socket, proof, address } = await firstThatConnects(candidates, (address) =>
      connectTls({ ...this.#options, proxy, host, address, port, floor: this.#options.time() }),
    )
    this.proof = proof
    addresses.set(socket, address)
    const { channelIdentity, suite } = this.#options
    if (channelIdentity) channelProofs.set(socket, proveOrClose(socket, channelIdentity, suite))
    if (proxy) return socket
    this.#lastProven.set(host, [address])
    if (tryParseAddress(host) === undefined) this.#options.onProven?.(host, address)
    return socket
  }

  #resolve(host: string): Promise<readonly string[]> {
    const { lookup, lastGoodAddresses } = this.#options
    return resolveHost(host, {
      lastGood: [...(this.#lastProven.get(host) ?? []), ...(lastGoodAddresses?.(host) ?? [])],
      ...(lookup && { lookup }),
    })
  }
}

/**
 * The headers that prove a certificate on this very connection. They are no secret: whoever is at its other end can show them to nobody else.
 * Throws AditError, also where the token does not sign.
 */
export function channelProofOn(
  socket: TLSSocket,
  identity: NonNullable<HttpsClientOptions['channelIdentity']>,
  suite: Suite,
): Record<string, string> {
  const { protocol, length, label } = channelExporter
  if (socket.getProtocol() !== protocol)
    throw new AditError(
      'certificate-refused',
      `The broker's API speaks ${socket.getProtocol()} here, and keys in hardware need TLS 1.3.`,
      'Let nothing stand between that speaks for it.',
    )
  return proveChannel(identity, Uint8Array.from(socket.exportKeyingMaterial(length, label, Buffer.alloc(0))), suite)
}

function proveOrClose(...proof: Parameters<typeof channelProofOn>): Record<string, string> {
  try {
    return channelProofOn(...proof)
  } catch (error) {
    proof[0].destroy()
    throw error
  }
}
