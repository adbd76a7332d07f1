import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { Deadline } from '#shared/machine.ts'
import { Fragments } from '#shared/netstack/fragments.ts'
import { Icmp, type PathError } from '#shared/netstack/icmp.ts'
import { type InnerAddress, innerAddress, isUnicast } from '#shared/netstack/inner-address.ts'
import {
  type ConnectOptions,
  defaultLimits,
  type ListenOptions,
  type NetstackLimits,
  type NetstackOptions,
  type UdpBinding,
} from '#shared/netstack/options.ts'
import { Ping } from '#shared/netstack/ping.ts'
import { Ports } from '#shared/netstack/ports.ts'
import { returnScratch, type Scratch, takeScratch } from '#shared/netstack/scratch.ts'
import { InitialSequence } from '#shared/netstack/tcp/initial-sequence.ts'
import { TcpListener } from '#shared/netstack/tcp/listener.ts'
import { pathErrorArrives } from '#shared/netstack/tcp/path-error.ts'
import { tooBigForPeer } from '#shared/netstack/tcp/path-notice.ts'
import { isFor, Tcp } from '#shared/netstack/tcp/tcp.ts'
import { TcpError } from '#shared/netstack/tcp/tcp-error.ts'
import { TcpSocket } from '#shared/netstack/tcp-socket.ts'
import { Transmitter } from '#shared/netstack/transmitter.ts'
import { Turn } from '#shared/netstack/turn.ts'
import { type DatagramHandler, Udp, type UdpSocket } from '#shared/netstack/udp.ts'
import { type Instant, instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import { formatAddress, parseAddress, tryParseAddress } from '#shared/wire/ip-address.ts'
import { decodeIpPacket, IpPacket, Protocol } from '#shared/wire/ip-packet.ts'

export type { TcpListener, UdpSocket }
export { TcpSocket }

/** Inner MTU before paths are measured (DESIGN §5). */
const DEFAULT_MTU = 1280

/** Packets that wait because they came while another one was being handled. */
const MAX_WAITING = 1_024

/**
 * One host on the inner network, without a kernel: give it packets with `input`, send what `transmit` gets, call `expire` at `deadline`. It never
 * throws on a packet.
 */
export class Netstack {
  readonly counters = new DropCounters()
  readonly #options: NetstackOptions
  readonly #limits: NetstackLimits
  readonly #transmitter: Transmitter
  readonly #turn: Turn
  readonly #fragments: Fragments
  readonly #ping: Ping
  readonly #icmp: Icmp
  readonly #udp: Udp
  readonly #tcp: Tcp
  readonly #packet = new IpPacket()
  readonly #waiting: Uint8Array[] = []
  #addresses: readonly InnerAddress[]
  #handling = false
  #armed = Number.POSITIVE_INFINITY
  #destroyed = false

  constructor(options: NetstackOptions) {
    const { suite } = options
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#addresses = options.addresses.map(innerAddress)
    this.#transmitter = new Transmitter(options.mtu ?? DEFAULT_MTU, options.transmit)
    this.#turn = new Turn(() => this.#serve(), options.defer)
    this.#fragments = new Fragments(this.#limits.fragmentBytes)
    const seeds = new DataView(Uint8Array.from(suite.random(8)).buffer)
    const ports = new Ports(suite, options.besideKernel)
    this.#ports = ports
    this.#ping = new Ping(seeds.getUint16(4))
    this.#icmp = new Icmp(this.#transmitter, this.#ping, (error, bytes, view, at, end) =>
      this.#pathError(error, bytes, view, at, end),
    )
    this.#udp = new Udp(this.#transmitter, ports, (destination, wanted) => this.#sourceFor(destination, wanted))
    const { errorsPerSecond } = this.#limits
    const strangers = new TokenBucket(errorsPerSecond, errorsPerSecond)
    this.#mayAnswer = (now) => strangers.take(instant(now))
    this.#tcp = new Tcp({
      limits: this.#limits,
      transmitter: this.#transmitter,
      turn: this.#turn,
      ports,
      initialSequence: new InitialSequence(suite),
      seed: seeds.getInt32(0),
      mayAnswerStranger: this.#mayAnswer,
      wake: (at) => this.#wake(at),
      now: () => options.clock.now(),
    })
  }

  readonly #mayAnswer: (now: number) => boolean
  readonly #ports: Ports

  get addresses(): readonly string[] {
    return this.#addresses.map(({ text }) => text)
  }

  /** What is held, for metrics and tests. */
  get usage(): { connections: number; timeWaits: number; bufferBytes: number; fragmentBytes: number } {
    const { connections, timeWaits, heldBytes } = this.#tcp
    return { connections, timeWaits, bufferBytes: heldBytes, fragmentBytes: this.#fragments.held }
  }

  /**
   * Whether packets of `protocol` (IANA) to a port of ours, or echo replies with that identifier, are for this stack, where a kernel has
   * the same address: to listeners and sockets, and to the ports that connections begin from here.
   */
  owns(protocol: number, port: number): boolean {
    if (protocol === Protocol.Tcp) return this.#ports.includes(port) || this.#tcp.listensAt(port)
    if (protocol === Protocol.Udp) return this.#ports.includes(port) || this.#udp.isBound(port)
    return port === this.#ping.identifier
  }

  /** One inner IP packet, borrowed for the call. Returns 0 or a negative DropReason, which is also counted. */
  input(packet: Uint8Array): number {
    if (this.#destroyed || packet.length > 65_535) return this.#drop(DropReason.InnerMalformed)
    if (this.#handling) {
      // A transmit function that comes straight back to us: first things first.
      if (this.#waiting.length >= MAX_WAITING) return this.#drop(DropReason.QueueFull)
      this.#waiting.push(Uint8Array.from(packet))
      return 0
    }
    const result = this.#inputOne(packet)
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#inputOne(next)
    return result
  }

  deadline(): Deadline | undefined {
    const tcp = this.#tcp.deadline
    const at = Math.min(tcp, this.#fragments.deadline, this.#ping.deadline)
    if (at === Number.POSITIVE_INFINITY) return undefined
    return { at: instant(at), why: at === tcp ? 'a TCP timer of the netstack' : 'a fragment or a ping of the netstack' }
  }

  /** Runs every timer that is due. Early is harmless. */
  expire(now: Instant): void {
    this.#armed = Number.POSITIVE_INFINITY
    this.#turn.enter()
    try {
      this.#fragments.expire(now)
      this.#ping.expire(now)
      this.#tcp.expire(now)
    } finally {
      this.#turn.leave()
    }
  }

  /** Connections from addresses that are gone fail with EADDRNOTAVAIL. */
  setAddresses(addresses: readonly string[]): void {
    this.#addresses = addresses.map(innerAddress)
    const texts = new Set(this.addresses)
    this.#tcp.dropFrom(({ text }) => texts.has(text), this.#options.clock.now())
  }

  /** A smaller one is told to the other ends too, whose packets to us take the same path. */
  setMtu(mtu: number): void {
    const isSmaller = mtu < this.#transmitter.mtu
    this.#transmitter.mtu = mtu
    this.#tcp.refit()
    if (isSmaller) for (const connection of this.#tcp.synchronized()) this.#options.transmit(tooBigForPeer(connection, mtu))
  }

  /** The path carries packets again after it did not: what waits to be sent again is sent now. */
  hasten(): void {
    this.#turn.enter()
    try {
      this.#tcp.hasten(this.#options.clock.now())
    } finally {
      this.#turn.leave()
    }
  }

  /** Throws TcpError EADDRINUSE or EADDRNOTAVAIL. */
  listen(options: ListenOptions, onConnection: (socket: TcpSocket) => void): TcpListener {
    const { port, address, backlog = this.#limits.backlog, allowHalfOpen = false } = options
    const local = address === undefined ? undefined : this.#ours(parseAddress(address))
    if (address !== undefined && local === undefined) throw new TcpError('EADDRNOTAVAIL', address)
    const listener = new TcpListener(
      { port, address: local?.text, backlog, allowHalfOpen },
      (connection) => {
        const socket = new TcpSocket(connection, this.#options.clock, allowHalfOpen)
        onConnection(socket)
      },
      (closed) => this.#tcp.removeListener(closed),
    )
    this.#tcp.addListener(listener)
    return listener
  }

  /** Never throws: what fails at once destroys the socket with a TcpError, as what fails later does. */
  connect(options: ConnectOptions): TcpSocket {
    const { clock } = this.#options
    const { address, port, localAddress, localPort = 0, allowHalfOpen = false } = options
    const remote = tryParseAddress(address)
    const local = remote === undefined ? undefined : this.#sourceFor(remote, localAddress)
    let failure = new TcpError('EHOSTUNREACH', address)
    if (remote !== undefined && isUnicast(remote, 0, remote.length) && !this.#destroyed) {
      if (local === undefined) failure = new TcpError('ENETUNREACH', address)
      else {
        try {
          const connection = this.#tcp.connect(local, localPort, remote, port, clock.now())
          return new TcpSocket(connection, clock, allowHalfOpen)
        } catch (error) {
          if (!(error instanceof TcpError)) throw error
          failure = error
        }
      }
    }
    return new TcpSocket(undefined, clock, allowHalfOpen, failure)
  }

  /** `onDatagram` gets a payload borrowed for the call. Throws TcpError EADDRINUSE or EADDRNOTAVAIL. */
  bindUdp(options: UdpBinding, onDatagram: DatagramHandler): UdpSocket {
    const local = options.address === undefined ? undefined : this.#ours(parseAddress(options.address))
    if (options.address !== undefined && local === undefined) throw new TcpError('EADDRNOTAVAIL', options.address)
    return this.#udp.bind(options.port, local?.text, onDatagram)
  }

  /** The round trip of one echo in ms, or undefined if none came within `timeoutMs` (1000) or the address is out of reach. */
  ping(address: string, options: { bytes?: number; timeoutMs?: number } = {}): Promise<number | undefined> {
    const { bytes = 56, timeoutMs = 1_000 } = options
    const remote = tryParseAddress(address)
    const local = remote === undefined ? undefined : this.#sourceFor(remote, undefined)
    if (remote === undefined || local === undefined) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const now = this.#options.clock.now()
      const sequence = this.#ping.begin(now, now + timeoutMs, resolve)
      this.#wake(instant(now + timeoutMs))
      this.#icmp.sendEcho(local, remote, this.#ping.identifier, sequence, bytes)
    })
  }

  /**
   * The other side may have lost its memory: every connection of which it knows nothing fails with ECONNRESET a round trip later. Those on
   * which something has come after `since` are left alone.
   */
  probe(since?: Instant): void {
    const now = this.#options.clock.now()
    this.#tcp.probe(since ?? now, now)
  }

  /** Resets every connection with `address` at a local port that `isOpen` denies: it may go on no longer. */
  abortFrom(address: string, isOpen: (localPort: number) => boolean): void {
    const remote = tryParseAddress(address)
    if (remote !== undefined) this.#tcp.abortFrom(remote, isOpen, this.#options.clock.now())
  }

  /** Resets every connection and closes every socket. */
  destroy(): void {
    this.#tcp.destroy(this.#options.clock.now())
    this.#udp.clear()
    this.#ping.expire(Number.POSITIVE_INFINITY)
    this.#destroyed = true
  }

  #inputOne(packet: Uint8Array): number {
    const scratch = takeScratch()
    this.#handling = true
    this.#turn.enter()
    try {
      scratch.bytes.set(packet)
      const result = this.#handle(scratch, packet.length, this.#options.clock.now(), true)
      return result < 0 ? this.#drop(result) : 0
    } finally {
      this.#handling = false
      this.#turn.leave()
      returnScratch(scratch)
    }
  }

  /** 1. headers, 2. is it ours, 3. fragments, 4. to its protocol. */
  #handle(scratch: Scratch, length: number, now: Instant, mayFragment: boolean): number {
    const { bytes, view } = scratch
    const packet = this.#packet
    const malformed = decodeIpPacket(view, length, packet)
    if (malformed !== 0) return malformed
    const local = this.#destinationOf(packet, bytes)
    if (local === undefined) return DropReason.NotForUs
    if (packet.isFragment) return mayFragment ? this.#handleFragment(packet, bytes, now) : DropReason.InnerMalformed
    switch (packet.protocol) {
      case Protocol.Tcp:
        if (!isUnicast(bytes, packet.source, packet.addressLength)) return DropReason.InnerMalformed
        return this.#tcp.input(packet, bytes, view, local, now)
      case Protocol.Udp:
        return this.#handleUdp(packet, bytes, view, local, now)
      case Protocol.Icmp:
      case Protocol.Icmpv6:
        if ((packet.protocol === Protocol.Icmp) !== (packet.version === 4)) return DropReason.InnerMalformed
        return this.#icmp.input(packet, bytes, view, local, now)
      default:
        if (this.#mayAnswer(now)) this.#icmp.protocolUnreachable(packet, bytes, local)
        return DropReason.InnerMalformed
    }
  }

  #handleFragment(packet: IpPacket, bytes: Uint8Array, now: Instant): number {
    const whole = takeScratch()
    try {
      const length = this.#fragments.add(packet, bytes, whole, now)
      if (length > 0) return this.#handle(whole, length, now, false)
      if (length === 0) this.#wake(instant(this.#fragments.deadline))
      return length
    } finally {
      returnScratch(whole)
    }
  }

  #handleUdp(packet: IpPacket, bytes: Uint8Array, view: DataView, local: InnerAddress, now: Instant): number {
    const socket = this.#udp.find(packet, bytes, view, local)
    if (typeof socket === 'number') return socket
    if (socket !== undefined) this.#udp.deliver(socket, packet, bytes, view, local)
    else if (this.#mayAnswer(now)) this.#icmp.portUnreachable(packet, bytes, local)
    return 0
  }

  /** An ICMP error quotes the head of a packet that we are said to have sent: enough of it to find the connection. */
  #pathError(error: PathError, bytes: Uint8Array, view: DataView, at: number, end: number): void {
    if (at + 20 > end) return
    const six = view.getUint8(at) >> 4 === 6
    const length = six ? 16 : 4
    const header = six ? 40 : (view.getUint8(at) & 15) * 4
    const protocol = view.getUint8(at + (six ? 6 : 9))
    if (header < 20 || at + header + 8 > end || protocol !== Protocol.Tcp) return
    const source = at + (six ? 8 : 12)
    const connection = this.#tcp.findQuoted(bytes, source, source + length, length, view, at + header)
    if (connection !== undefined) pathErrorArrives(connection, error, view.getInt32(at + header + 4), this.#options.clock.now())
  }

  #destinationOf(packet: IpPacket, bytes: Uint8Array): InnerAddress | undefined {
    for (const address of this.#addresses) if (isFor(address, packet, bytes)) return address
    return undefined
  }

  #ours(bytes: Uint8Array): InnerAddress | undefined {
    const text = formatAddress(bytes)
    return this.#addresses.find((address) => address.text === text)
  }

  /** The address of ours that packets to `destination` come from. */
  #sourceFor(destination: Uint8Array, wanted: string | undefined): InnerAddress | undefined {
    if (wanted !== undefined) {
      const bytes = tryParseAddress(wanted)
      return bytes === undefined || bytes.length !== destination.length ? undefined : this.#ours(bytes)
    }
    return this.#addresses.find(({ bytes }) => bytes.length === destination.length)
  }

  #serve(): void {
    this.#tcp.serve(this.#options.clock.now())
  }

  #wake(at: Instant): void {
    // An alarm that lies in the past has rung, whether or not anything was due then.
    if (at >= this.#armed && this.#armed > this.#options.clock.now()) return
    this.#armed = at
    this.#options.wake?.(at)
  }

  #drop(reason: number): number {
    this.counters.count(reason)
    return reason
  }
}
