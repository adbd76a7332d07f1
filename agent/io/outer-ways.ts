import type { Suite } from '#shared/crypto/suite.ts'
import type { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import type { Clock, WallTime } from '#shared/time/instant.ts'
import { carriedBy, type Endpoint, endpointText, isCarried } from '#shared/wire/endpoint.ts'
import { proxyText } from './outer-connect.ts'
import { type Finding, Findings } from './outer-finding.ts'
import type { FindProxy } from './outer-proxy.ts'
import { OuterStream, type StreamPorts } from './outer-stream.ts'
import { OuterUdp } from './outer-udp.ts'

export interface OuterWaysOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  /** DER of the fleet's root, to see whose TLS a stream ends at. */
  root(): Uint8Array
  time(): WallTime
  readonly proxy: FindProxy
  resolve(host: string): Promise<readonly string[]>
  /** `datagram` belongs to the callee. */
  onDatagram(datagram: Uint8Array, from: Endpoint): void
  /** The fast road, whose port is used; it hands over what comes there by itself. */
  readonly lane?: LinuxLane | undefined
  /** The UDP port is another one. */
  onRebound?(): void
  /** A stream that broke is open again. */
  onReopened(endpoint: Endpoint): void
  /** A captive portal has let go. */
  onReleased(): void
  onFinding(finding: Finding): void
  /** Whether the broker may be at this UDP endpoint. */
  isBroker?(endpoint: Endpoint): boolean
  /** Whether the tunnel's datagrams go there now. */
  isPath(endpoint: Endpoint): boolean
}

/**
 * All ways by which an agent's datagrams leave: a UDP port, and streams for where UDP is blocked. To the core each stream is an endpoint
 * like others; what bears it is known here alone.
 */
export class OuterWays {
  readonly #options: OuterWaysOptions
  readonly #udp: OuterUdp
  readonly #findings: Findings
  /** By URL; what a carried endpoint is called stays the same for as long as its URL is known. */
  #streams = new Map<string, OuterStream>()
  #next = 0

  private constructor(options: OuterWaysOptions, udp: OuterUdp) {
    this.#options = options
    this.#udp = udp
    this.#findings = new Findings((finding) => {
      options.log.warn({ code: finding.code }, `${finding.text} ${finding.mend}`)
      options.onFinding(finding)
    })
  }

  static async open(options: OuterWaysOptions): Promise<OuterWays> {
    const { timers, onDatagram, lane, onRebound = () => {}, isBroker = () => false } = options
    return new OuterWays(options, await OuterUdp.open({ timers, onDatagram, onRebound, isBroker, lane }))
  }

  /** What stands in our way now. */
  get findings(): readonly Finding[] {
    return this.#findings.list
  }

  /** The UDP port of the moment. */
  get local(): Endpoint {
    return this.#udp.local
  }

  /** The endpoints of these `wss:` URLs, in their order. Streams of others are let go. */
  setStreams(urls: readonly string[]): readonly Endpoint[] {
    const before = this.#streams
    this.#streams = new Map()
    for (const url of urls) this.#streams.set(url, before.get(url) ?? this.#make(url))
    for (const [url, stream] of before) if (!this.#streams.has(url)) stream.close()
    return [...this.#streams.values()].map(({ endpoint }) => endpoint)
  }

  /** Sends a copy; false where it was dropped. */
  send(datagram: Uint8Array, to: Endpoint): boolean {
    if (!isCarried(to)) return this.#udp.send(datagram, to)
    for (const stream of this.#streams.values()) if (stream.endpoint.address === to.address) return stream.send(datagram)
    return false
  }

  /** A new UDP port; what is under way to the old one is still taken for a few seconds. */
  rebind(): void {
    this.#udp.rebind()
  }

  /** The broker answers by UDP: no portal stands before it any more. */
  answeredByUdp(): void {
    this.#findings.clear('portal')
    this.#udp.answered()
  }

  /** Streams that the old network bore are asked whether they live, and those that wait for another attempt make it. */
  networkChanged(): void {
    for (const stream of this.#streams.values()) stream.renew()
  }

  /** For people: a stream's URL and the proxy that it goes through, and what `endpointText` says of all other endpoints. */
  describe(endpoint: Endpoint): string {
    for (const [url, { endpoint: own, via }] of this.#streams) {
      if (own.address === endpoint.address) return via ? `${url} through the proxy ${proxyText(via)}` : url
    }
    return endpointText(endpoint)
  }

  async close(): Promise<void> {
    this.setStreams([])
    await this.#udp.close()
  }

  #make(url: string): OuterStream {
    const { clock, timers } = this.#options
    const endpoint = carriedBy('websocket', this.#next++)
    return new OuterStream({ url: new URL(url), endpoint, around: this.#options, ports: this.#ports, clock, timers })
  }

  get #ports(): StreamPorts {
    const { clock, log, onDatagram, onReopened, onReleased, isPath } = this.#options
    return {
      datagram: onDatagram,
      reopened: onReopened,
      released: onReleased,
      isPath,
      report: (finding) => this.#findings.report({ ...finding, at: clock.wall() }),
      clear: (...codes) => this.#findings.clear(...codes),
      log: (fields, message) => log.debug(fields, message),
    }
  }
}
