import type { Flow, FlowEnd } from '#shared/dataplane/flow.ts'
import type { FlowOffload, OffloadedFlow } from '#shared/dataplane/flow-offload.ts'
import { Protocol } from '#shared/dataplane/inner-packet.ts'
import { instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { addressWords } from './address-words.ts'
import { FlowNumber, type LaneBoard } from './lane-board.ts'
import type { FlowPass } from './lane-messages.ts'
import { Slots } from './slots.ts'

export interface LaneFlowOffloadOptions {
  readonly board: LaneBoard
  /** Lets both directions pass. */
  pass(flows: readonly FlowPass[]): void
  forget(slot: number): void
  /** The lane that opens what comes from there. */
  laneOf(association: Association): number
  /** Whether this host's end of the flow is the kernel's, behind the TUN. */
  isKernels(flow: Flow): boolean
}

/** Hands flows of a filter to a lane. A slot of the board belongs to each. */
export class LaneFlowOffload implements FlowOffload {
  readonly #options: LaneFlowOffloadOptions
  readonly #slots: Slots

  constructor(options: LaneFlowOffloadOptions) {
    this.#options = options
    this.#slots = new Slots(options.board.size.flows)
  }

  take(flow: Flow): OffloadedFlow | undefined {
    const { board, pass, isKernels, laneOf } = this.#options
    if ((flow.initiator === undefined || flow.responder === undefined) && !isKernels(flow)) return undefined
    const slot = this.#slots.take()
    if (slot === undefined) return undefined
    board.beginFlow(slot, flow.lastSeen)
    pass(directionsOf(flow, slot, (end) => end && laneOf(end)))
    return new LaneFlowUse(board, slot, () => {
      this.#options.forget(slot)
      this.#slots.give(slot)
    })
  }
}

class LaneFlowUse implements OffloadedFlow {
  readonly #board: LaneBoard
  readonly #at: number
  readonly #onForget: () => void
  readonly #bytes = [0, 0]

  constructor(board: LaneBoard, slot: number, onForget: () => void) {
    this.#board = board
    this.#at = board.flowAt(slot)
    this.#onForget = onForget
  }

  refresh(flow: Flow): void {
    const { flows } = this.#board
    const at = this.#at
    flow.lastSeen = instant(Math.max(flow.lastSeen, flows[at + FlowNumber.lastSeen]!))
    flow.bytesForward += this.#moved(0)
    flow.bytesBack += this.#moved(1)
    for (const [direction, words] of [flow.forward, flow.back].entries()) {
      if (flows[at + FlowNumber.said + direction] === 0) continue
      words.end = later(words.end, flows[at + FlowNumber.end + direction]! | 0)
      words.acknowledgement = later(words.acknowledgement, flows[at + FlowNumber.acknowledgement + direction]! | 0)
    }
  }

  forget(): void {
    this.#onForget()
  }

  #moved(direction: 0 | 1): number {
    const bytes = this.#board.flows[this.#at + FlowNumber.bytes + direction]!
    const moved = bytes - this.#bytes[direction]!
    this.#bytes[direction] = bytes
    return moved
  }
}

function directionsOf(flow: Flow, slot: number, laneOf: (end: FlowEnd) => number | undefined): FlowPass[] {
  const initiator = addressWords(flow.initiatorBytes)
  const responder = addressWords(flow.responderBytes)
  const isEcho = flow.protocol === Protocol.Icmp || flow.protocol === Protocol.Icmpv6
  const common = { version: flow.width === 4 ? 4 : 6, protocol: flow.protocol, until: flow.until, slot } as const
  const [from, to] = [idOf(flow.initiator), idOf(flow.responder)]
  const ports = isEcho ? flow.initiatorPort : (flow.initiatorPort << 16) | flow.responderPort
  const back = isEcho ? ports : (flow.responderPort << 16) | flow.initiatorPort
  const [there, here] = [laneOf(flow.initiator), laneOf(flow.responder)]
  return [
    { ...common, source: initiator, destination: responder, ports, isReply: false, from, to, direction: 0, lane: there },
    {
      ...{ ...common, source: responder, destination: initiator, ports: back, isReply: isEcho },
      ...{ from: to, to: from, direction: 1, lane: here },
    },
  ]
}

/** Numbers only grow (RFC 9293 §3.4), and the filter may have seen later ones itself. */
const later = (known: number | undefined, heard: number): number =>
  known === undefined || ((heard - known) | 0) > 0 ? heard : known

const idOf = (end: FlowEnd): number => end?.id ?? 0
