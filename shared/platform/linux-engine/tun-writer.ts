import type { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import { Run } from '#shared/dataplane/batch/run.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { IoVectors } from './io-vectors.ts'
import type { LaneBoard } from './lane-board.ts'
import type { LaneFlow } from './lane-flows.ts'
import type { Libc } from './libc.ts'
import type { NativeMemory } from './memory.ts'

/** The virtio header, and the headers of a super-packet behind it. */
const HEADER_ROOM = 160

/** Puts the packets of a turn into the TUN, those of one flow as one super-packet where they make one. They stay where they are until `flush`. */
export class TunWriter {
  readonly #memory: NativeMemory
  readonly #libc: Libc
  readonly #board: LaneBoard
  readonly #descriptor: number
  readonly #udp: boolean
  readonly #headerAt: number
  readonly #vectors: IoVectors
  readonly #open: LaneFlow[] = []
  readonly #spare: Run[] = []

  /** `vectors`: as many as a run has pieces, and one more. `udp`: whether the TUN takes UDP super-packets. */
  constructor(memory: NativeMemory, libc: Libc, board: LaneBoard, descriptor: number, udp: boolean, vectors: IoVectors) {
    this.#memory = memory
    this.#libc = libc
    this.#board = board
    this.#descriptor = descriptor
    this.#udp = udp
    this.#headerAt = memory.allocate(HEADER_ROOM)
    this.#vectors = vectors
  }

  write(flow: LaneFlow, packet: PlainPacket, at: number): void {
    const { run } = flow
    if (run !== undefined) {
      if (run.append(packet, at)) {
        if (run.full) this.#finish(flow, run)
        return
      }
      this.#finish(flow, run)
    }
    const next = this.#spare.pop() ?? new Run(this.#memory, { udp: this.#udp })
    next.begin(packet, at)
    flow.run = next
    this.#open.push(flow)
  }

  flush(): void {
    const open = this.#open
    for (let i = 0; i < open.length; i++) {
      const flow = open[i]!
      if (flow.run !== undefined) this.#finish(flow, flow.run)
    }
    open.length = 0
  }

  #finish(flow: LaneFlow, run: Run): void {
    const vectors = this.#vectors
    vectors.set(0, this.#headerAt, run.finish(this.#headerAt))
    const { pieces } = run
    for (let i = 0; i < pieces; i++) vectors.set(i + 1, run.pieceAt[i]!, run.pieceLength[i]!)
    if (this.#libc.writev(this.#descriptor, vectors.address, pieces + 1) < 0) this.#board.count(DropReason.SendFailed)
    flow.run = undefined
    this.#spare.push(run)
  }
}
