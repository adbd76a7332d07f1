import { AgentCore, type AgentEvent } from '#agent/core/agent-core.ts'
import type { DirectOptions } from '#agent/core/direct/direct-host.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Candidate } from '#shared/nat/candidate.ts'
import type { Instant } from '#shared/time/instant.ts'
import { TimestampFloor } from '#shared/tunnel/tai64n.ts'
import { carriedBy, type Endpoint, endpointText, isCarried } from '#shared/wire/endpoint.ts'
import { FramedPipe } from '#sim/internet/framed-pipe.ts'
import type { Host, UdpSocket } from '#sim/internet/host.ts'
import { Pipes } from '#sim/internet/pipes.ts'
import type { Actor } from '#sim/internet/world.ts'

export interface AgentHostOptions {
  readonly suite: Suite
  readonly key?: KeyPair
  /** Where WebSockets are taken; `carried` names them to the core. */
  readonly streams?: readonly Endpoint[]
  readonly direct?: Omit<DirectOptions, 'places'>
}

/** The real agent core on a host of the simulated internet: its shell is a UDP socket, pipes in place of WebSockets, and virtual time. */
export class AgentHost implements Actor {
  due: Instant
  slot = -1
  readonly host: Host
  readonly key: KeyPair
  readonly core: AgentCore
  readonly events: (AgentEvent & { at: Instant })[] = []
  /** The endpoints of its other ways to the broker, for `configure`. */
  readonly carried: readonly Endpoint[]
  /** A port that the gateway maps, where it was asked. */
  mapped: Endpoint | undefined
  rebinds = 0
  sentBytes = 0
  sentDatagrams = 0
  readonly #pipes: Pipes
  readonly #streams: readonly Endpoint[]
  readonly #open = new Map<string, FramedPipe>()
  #socket: UdpSocket

  constructor(host: Host, { suite, key, streams = [], direct }: AgentHostOptions) {
    const { world } = host
    this.host = host
    this.due = world.now()
    this.key = key ?? suite.x25519.generate()
    this.#pipes = new Pipes(host)
    this.#streams = streams
    this.carried = streams.map((_, at) => carriedBy('websocket', at + 1))
    this.#socket = this.#bind()
    const timestamps = new TimestampFloor({ wall: () => world.wall(), reserve: () => {} })
    this.core = new AgentCore({
      suite,
      clock: world,
      tunnelKey: this.key,
      ...(direct && { direct: { ...direct, places: () => this.places } }),
      ports: {
        send: (datagram, to) => this.#send(datagram, to),
        rebind: () => {
          this.rebinds++
          this.#socket.close()
          this.#socket = this.#bind()
        },
        nextTimestamp: () => timestamps.next(),
        wake: (at) => world.schedule(this, at),
        event: (event) => this.events.push({ ...event, at: world.now() }),
      },
    })
  }

  get port(): number {
    return this.#socket.port
  }

  get isUp(): boolean {
    return this.core.state === 'up'
  }

  /** Where it could be met, as its shell knows it. */
  get places(): Candidate[] {
    const own = this.host.addresses.map((address) => ({ kind: 'host' as const, endpoint: { address, port: this.port } }))
    return this.mapped ? [...own, { kind: 'mapped', endpoint: this.mapped }] : own
  }

  act(now: Instant): void {
    this.core.expire(now)
  }

  /** Like a resume from sleep or a word of the kernel's: addresses or routes have changed. */
  networkChanged(): void {
    this.core.networkChanged()
  }

  #bind(): UdpSocket {
    const socket = this.host.bind()
    socket.onDatagram = (datagram, from) => this.core.receive(datagram, from)
    return socket
  }

  #send(datagram: Uint8Array, to: Endpoint): void {
    this.sentDatagrams++
    this.sentBytes += datagram.length
    if (isCarried(to)) this.#stream(to)?.send(datagram)
    else this.#socket.send(datagram, to)
  }

  /** Opened when there is something to say, and again after it has ended. */
  #stream(carried: Endpoint): FramedPipe | undefined {
    const name = endpointText(carried)
    const known = this.#open.get(name)
    if (known) return known
    const place = this.#streams[this.carried.findIndex((one) => endpointText(one) === name)]
    const pipe = place && this.#pipes.open(place)
    if (pipe === undefined) return undefined
    const stream = new FramedPipe(pipe)
    stream.onDatagram = (datagram) => this.core.receive(datagram, carried)
    pipe.onEnd = () => this.#open.delete(name)
    this.#open.set(name, stream)
    return stream
  }
}
