import { wordAt } from '#shared/bytes/word.ts'
import { type InnerPacket, PacketKind, TcpFlag } from '#shared/dataplane/inner-packet.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, seconds } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { addressWords } from './address-words.ts'
import { FlowNumber, type LaneBoard } from './lane-board.ts'
import type { FlowPass } from './lane-messages.ts'
import { Slots } from './slots.ts'

/** A direction that nothing takes for so long is asked about anew. */
const IDLE = seconds(60)
const SWEEP_EVERY = seconds(20)

export interface LaneShortcutsOptions {
  readonly board: LaneBoard
  readonly clock: Clock
  readonly timers: Timers
  pass(flows: readonly FlowPass[]): void
  forget(slot: number): void
  /** The lane that opens what comes from there. */
  laneOf(association: Association): number
}

/** Directions of flows that an agent has let pass, each by itself: its two may go by different associations. */
export class LaneShortcuts {
  readonly #options: LaneShortcutsOptions
  readonly #slots = new Map<string, number>()
  readonly #free: Slots
  #timer: Timer | undefined

  constructor(options: LaneShortcutsOptions) {
    this.#options = options
    this.#free = new Slots(options.board.size.flows)
  }

  get size(): number {
    return this.#slots.size
  }

  /** A packet has passed from one end to another; undefined stands for this host's kernel. */
  passed(packet: InnerPacket, from: Association | undefined, to: Association | undefined): void {
    if (!isMiddle(packet)) return
    const { board, clock, pass, laneOf } = this.#options
    const key = keyOf(packet, from, to)
    if (this.#slots.has(key)) return
    const slot = this.#free.take()
    if (slot === undefined) return
    this.#slots.set(key, slot)
    board.beginFlow(slot, clock.now())
    pass([{ ...passOf(packet, from, to, slot), lane: from && laneOf(from) }])
    this.#timer ??= this.#options.timers.setTimer(SWEEP_EVERY, () => this.#sweep())
  }

  forgetAll(): void {
    for (const [key, slot] of this.#slots) this.#forget(key, slot)
  }

  close(): void {
    this.#timer?.clear()
    this.#slots.clear()
  }

  #sweep(): void {
    const { board, clock } = this.#options
    const oldest = clock.now() - IDLE
    for (const [key, slot] of this.#slots)
      if (board.flows[board.flowAt(slot) + FlowNumber.lastSeen]! < oldest) this.#forget(key, slot)
    this.#timer = this.#slots.size === 0 ? undefined : this.#options.timers.setTimer(SWEEP_EVERY, () => this.#sweep())
  }

  #forget(key: string, slot: number): void {
    this.#slots.delete(key)
    this.#free.give(slot)
    this.#options.forget(slot)
  }
}

/** Whether what follows it may pass as it did: packets that begin or end a connection, and all that is not whole, are looked at one by one. */
function isMiddle({ kind, tcpFlags, fragment }: InnerPacket): boolean {
  if (fragment !== 0) return false
  if (kind === PacketKind.Tcp) return (tcpFlags & (TcpFlag.Syn | TcpFlag.Fin | TcpFlag.Rst)) === 0
  return kind === PacketKind.Udp || kind === PacketKind.EchoRequest || kind === PacketKind.EchoReply
}

function passOf(packet: InnerPacket, from: Association | undefined, to: Association | undefined, slot: number): FlowPass {
  const { version, protocol, kind, sourcePort, destinationPort, bytes, sourceAt, destinationAt, width } = packet
  return {
    ...{ version, protocol, slot, direction: 0, until: Number.POSITIVE_INFINITY },
    source: addressWords(bytes, sourceAt, width),
    destination: addressWords(bytes, destinationAt, width),
    ports: kind === PacketKind.Tcp || kind === PacketKind.Udp ? (sourcePort << 16) | destinationPort : sourcePort,
    isReply: kind === PacketKind.EchoReply,
    from: from?.id ?? 0,
    to: to?.id ?? 0,
  }
}

function keyOf(packet: InnerPacket, from: Association | undefined, to: Association | undefined): string {
  const { protocol, kind, sourcePort, destinationPort, bytes, sourceAt, width } = packet
  const words: number[] = []
  for (let at = sourceAt; at < sourceAt + 2 * width; at += 4) words.push(wordAt(bytes, at))
  return [from?.id ?? 0, to?.id ?? 0, protocol, kind, sourcePort, destinationPort, ...words].join()
}
