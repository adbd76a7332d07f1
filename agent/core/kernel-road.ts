import { InnerPacket, PacketKind, TcpFlag } from '#shared/dataplane/inner-packet.ts'
import { type DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { Association } from '#shared/tunnel/association.ts'
import type { KernelEnd } from './kernel-end.ts'

/**
 * The slow half of the road between the tunnel and this machine's kernel: the first packets of flows, and all that begins or ends one. What
 * has passed here is named to the fast half.
 */
export class KernelRoad {
  readonly end: KernelEnd
  readonly #counters: DropCounters
  readonly #packet = new InnerPacket()

  constructor(end: KernelEnd, counters: DropCounters) {
    this.end = end
    this.#counters = counters
  }

  /** Whether a packet that the tunnel brought is the kernel's. */
  takes(packet: Uint8Array): boolean {
    return this.end.isKernels(packet)
  }

  /**
   * A packet for the kernel that `from` has brought, whose source was judged. `isAnswerOnly`: its sender may answer this machine, but begin
   * nothing here.
   */
  arrived(bytes: Uint8Array, from: Association, isAnswerOnly: boolean): void {
    const packet = this.#packet
    if (packet.read(bytes, bytes.length) < 0) return void this.#counters.count(DropReason.InnerMalformed)
    if (isAnswerOnly && begins(packet)) return void this.#counters.count(DropReason.FilterRefused)
    this.end.deliver(bytes)
    this.end.passed(packet, from, undefined)
  }

  /** A packet of the kernel's that `to` takes. */
  left(bytes: Uint8Array, to: Association): void {
    const packet = this.#packet
    if (packet.read(bytes, bytes.length) === 0) this.end.passed(packet, undefined, to)
  }
}

/** Whether a packet may begin a conversation. UDP does not say: whoever may only answer is not heard by it. */
function begins({ kind, tcpFlags, fragment }: InnerPacket): boolean {
  if (kind === PacketKind.Tcp) return fragment === 2 || (tcpFlags & (TcpFlag.Syn | TcpFlag.Ack)) === TcpFlag.Syn
  return kind !== PacketKind.EchoRequest && kind !== PacketKind.EchoReply && kind !== PacketKind.IcmpError
}
