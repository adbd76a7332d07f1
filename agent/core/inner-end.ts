import type { Suite } from '#shared/crypto/suite.ts'
import { RouteTable } from '#shared/dataplane/route-table.ts'
import { type DropCounters, DropReason } from '#shared/drop-reason.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import type { NetstackOptions } from '#shared/netstack/options.ts'
import type { Clock } from '#shared/time/instant.ts'
import { Protocol } from '#shared/wire/ip-packet.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'
import type { AgentConfig } from './agent-config.ts'

const TCP_FIN_SYN = 0x03

export interface InnerEndOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly netstack: Pick<NetstackOptions, 'limits' | 'defer' | 'besideKernel'> | undefined
  readonly counters: DropCounters
  /** An inner packet of ours that the path has room for. `asks`: a sound receiver answers it soon. */
  send(packet: Uint8Array, asks: boolean): void
  /** An error about a packet of ours, for whoever has sent it. */
  give(packet: Uint8Array): void
  wake(): void
}

/**
 * Where inner packets live: the netstack, and what the agent itself has to say about packets, whence they may come and how large they may
 * be. Who may reach whom is the broker's filter's to decide.
 */
export class InnerEnd {
  readonly netstack: Netstack
  readonly #options: InnerEndOptions
  readonly #error = new Uint8Array(PACKET_TOO_BIG_LIMIT)
  #routes = new RouteTable<true>()
  #mtu = 1280

  constructor(options: InnerEndOptions) {
    const { suite, clock, wake } = options
    this.#options = options
    const transmit = (packet: Uint8Array): void => this.outbound(packet, options.send)
    this.netstack = new Netstack({ ...options.netstack, suite, clock, addresses: [], transmit, wake })
  }

  configure({ inner, routes }: AgentConfig): void {
    this.#routes = new RouteTable()
    for (const cidr of routes) this.#routes.insert(cidr, true)
    this.netstack.setAddresses([...inner.addresses])
  }

  /** The largest packet that the path takes, bytes. */
  resize(mtu: number): void {
    this.#mtu = mtu
    this.netstack.setMtu(mtu)
  }

  /**
   * Keeps a packet out that names a source which could never be answered through the tunnel (P-30), and counts it. The source lies at byte
   * 12 of an IPv4 header and at byte 8 of an IPv6 header.
   */
  admits(packet: Uint8Array): boolean {
    const [least, at, width] = packet[0]! >> 4 === 4 ? [20, 12, 4] : [40, 8, 16]
    if (packet.length >= least && this.#routes.lookup(packet, at, width) === true) return true
    this.#options.counters.count(DropReason.InnerSourceRefused)
    return false
  }

  /** A packet of ours goes to `send` where the path has room for it; else its sender is told. */
  outbound(packet: Uint8Array, send: InnerEndOptions['send']): void {
    if (packet.length <= this.#mtu) return void send(packet, asksForAnswer(packet))
    this.#options.counters.count(DropReason.InnerTooBig)
    this.#options.give(this.#tooBig(packet))
  }

  /** The error that tells the sender of `packet` how large it may be (RFC 8201). */
  #tooBig(packet: Uint8Array): Uint8Array {
    const [at, width] = packet[0]! >> 4 === 4 ? [12, 4] : [8, 16]
    const source = packet.slice(at + width, at + 2 * width)
    const destination = packet.slice(at, at + width)
    return this.#error.subarray(0, writePacketTooBig(this.#error, source, destination, this.#mtu, packet))
  }
}

/** Whether a sound receiver of `packet` answers it soon: TCP with data, SYN or FIN, and anything that is not TCP. */
function asksForAnswer(packet: Uint8Array): boolean {
  const four = packet[0]! >> 4 === 4
  if (packet[four ? 9 : 6] !== Protocol.Tcp) return true
  const at = four ? (packet[0]! & 15) * 4 : 40
  const data = at + (packet[at + 12]! >> 4) * 4
  return packet.length > data || (packet[at + 13]! & TCP_FIN_SYN) !== 0
}
