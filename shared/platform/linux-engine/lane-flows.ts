import type { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import type { Run } from '#shared/dataplane/batch/run.ts'
import { type Chained, ChainedTable } from '#shared/dataplane/chained-table.ts'
import type { FlowPass } from './lane-messages.ts'
import type { LanePeer } from './lane-peers.ts'

/** Beside the protocol's number: echo replies, which only answer. */
const REPLY = 0x100

/** One direction of a flow that may pass without asking. */
export class LaneFlow implements Chained<LaneFlow> {
  readonly version: number
  readonly protocol: number
  readonly ports: number
  readonly from: LanePeer | undefined
  /** undefined: this host, by its TUN. */
  readonly to: LanePeer | undefined
  readonly until: number
  readonly slot: number
  readonly direction: 0 | 1
  readonly s0: number
  readonly s1: number
  readonly s2: number
  readonly s3: number
  readonly d0: number
  readonly d1: number
  readonly d2: number
  readonly d3: number
  readonly hash: number
  next: LaneFlow | undefined = undefined
  /** Packets of this turn that make one super-packet. */
  run: Run | undefined = undefined

  constructor(pass: FlowPass, from: LanePeer | undefined, to: LanePeer | undefined) {
    const { source, destination } = pass
    this.version = pass.version
    this.protocol = pass.isReply ? pass.protocol | REPLY : pass.protocol
    this.ports = pass.ports
    this.from = from
    this.to = to
    this.until = pass.until
    this.slot = pass.slot
    this.direction = pass.direction
    this.s0 = source[0]!
    this.s1 = source[1] ?? 0
    this.s2 = source[2] ?? 0
    this.s3 = source[3] ?? 0
    this.d0 = destination[0]!
    this.d1 = destination[1] ?? 0
    this.d2 = destination[2] ?? 0
    this.d3 = destination[3] ?? 0
    this.hash = hashOf(this.s0, this.s3, this.d0, this.d3, this.ports)
  }
}

/** Flows by what every packet of theirs shows: addresses, ports, protocol, and the end from which it came (P-30). */
export class LaneFlows {
  readonly #flows = new ChainedTable<LaneFlow>()
  readonly #bySlot = new Map<number, LaneFlow[]>()

  get size(): number {
    return this.#flows.size
  }

  find(packet: PlainPacket, from: LanePeer | undefined): LaneFlow | undefined {
    const { ports } = packet
    const protocol = packet.isReply ? packet.protocol | REPLY : packet.protocol
    const hash = hashOf(packet.s0, packet.s3, packet.d0, packet.d3, ports)
    for (let flow = this.#flows.first(hash); flow !== undefined; flow = flow.next) {
      if (
        flow.hash === hash &&
        flow.ports === ports &&
        flow.from === from &&
        flow.protocol === protocol &&
        flow.version === packet.version &&
        flow.s0 === packet.s0 &&
        flow.d0 === packet.d0 &&
        flow.s1 === packet.s1 &&
        flow.d1 === packet.d1 &&
        flow.s2 === packet.s2 &&
        flow.d2 === packet.d2 &&
        flow.s3 === packet.s3 &&
        flow.d3 === packet.d3
      )
        return flow
    }
    return undefined
  }

  add(flow: LaneFlow): void {
    this.#flows.add(flow)
    const ofSlot = this.#bySlot.get(flow.slot)
    if (ofSlot === undefined) this.#bySlot.set(flow.slot, [flow])
    else ofSlot.push(flow)
  }

  /** Both directions, which are returned. */
  remove(slot: number): readonly LaneFlow[] {
    const flows = this.#bySlot.get(slot) ?? []
    for (const flow of flows) this.#flows.remove(flow)
    this.#bySlot.delete(slot)
    return flows
  }
}

/** Only flows that the main thread has let pass are kept, so nobody chooses whom he collides with. */
function hashOf(s0: number, s3: number, d0: number, d3: number, ports: number): number {
  let hash = Math.imul(s0 ^ s3, 0x9e37_79b1) ^ Math.imul(d0 ^ d3, 0x85eb_ca6b) ^ Math.imul(ports, 0xc2b2_ae35)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b_3c6d)
  return hash ^ (hash >>> 13)
}
