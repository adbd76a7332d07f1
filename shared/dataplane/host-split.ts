import type { Flow } from '#shared/dataplane/flow.ts'
import { InnerPacket, PacketKind, Protocol } from '#shared/dataplane/inner-packet.ts'

/** The stack that shares the host's inner addresses with the kernel. */
export interface UserStack {
  /** Whether packets of this protocol to a local port, or echo replies with that identifier, are its own. */
  owns(protocol: number, port: number): boolean
}

/** Which of a host's two stacks inner packets are for: the kernel behind the TUN has all that the user-space one does not claim. */
export class HostSplit {
  readonly #stack: UserStack
  readonly #packet = new InnerPacket()
  readonly #quoted = new InnerPacket()

  constructor(stack: UserStack) {
    this.#stack = stack
  }

  /** Whether a packet to this host is the kernel's. */
  isKernels(bytes: Uint8Array): boolean {
    const packet = this.#packet
    if (packet.read(bytes, bytes.length) < 0) return false
    const { kind, protocol } = packet
    if (kind === PacketKind.Tcp || kind === PacketKind.Udp || kind === PacketKind.EchoReply)
      return !this.#stack.owns(protocol, packet.destinationPort)
    if (kind !== PacketKind.IcmpError) return true
    // It quotes a packet that this host has sent.
    return this.#quoted.readQuoted(packet) < 0 || !this.#stack.owns(this.#quoted.protocol, this.#quoted.sourcePort)
  }

  /** The same of a flow with one end here. */
  isKernelsFlow(flow: Flow): boolean {
    const isInitiator = flow.initiator === undefined
    if (flow.protocol === Protocol.Tcp || flow.protocol === Protocol.Udp)
      return !this.#stack.owns(flow.protocol, isInitiator ? flow.initiatorPort : flow.responderPort)
    return !isInitiator || !this.#stack.owns(flow.protocol, flow.initiatorPort)
  }
}
