import { ChainedTable } from '#shared/dataplane/chained-table.ts'
import { Flow, type FlowEnd, flowHash, type Said } from '#shared/dataplane/flow.ts'
import type { FlowOffload } from '#shared/dataplane/flow-offload.ts'
import { FragmentMemory } from '#shared/dataplane/fragment-memory.ts'
import { InnerPacket, PacketKind, TcpFlag } from '#shared/dataplane/inner-packet.ts'
import { acknowledgementOf, sequenceAfter } from '#shared/dataplane/tcp-reset.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { Deadline } from '#shared/machine.ts'
import { after, elapsed, hours, type Instant, instant, seconds } from '#shared/time/instant.ts'

/** Who may begin what. Asked once for each new flow; replies of permitted flows pass by themselves. */
export interface FlowPolicy {
  /**
   * Until when (monotonic; `forever` without an end) the flow that `packet` begins is permitted, or `refused`. `from` and `to` are
   * the associations of its ends, undefined for this host. The packet is borrowed for the call.
   */
  permit(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): Instant
  opened?(flow: Flow): void
  closed?(flow: Flow, why: FlowEnding): void
  /** Called for every packet that would have begun a flow and was refused: the callee bounds what it makes of them. */
  refused?(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): void
}

export const refused: Instant = instant(Number.NEGATIVE_INFINITY)
export const forever: Instant = instant(Number.POSITIVE_INFINITY)

export type FlowEnding = 'finished' | 'idle' | 'expired' | 'revoked'

export interface FlowLimits {
  /** Flows in all. */
  flows: number
  /** Flows begun by one association. */
  perInitiator: number
}

export const defaultFlowLimits: FlowLimits = { flows: 65_536, perInitiator: 4_096 }

/** How long a silent flow is remembered, by phase. */
const idle = {
  tcpOpening: seconds(60),
  tcpOpen: hours(24),
  tcpClosing: seconds(20),
  udp: seconds(180),
  echo: seconds(30),
} as const

const sweepEvery = seconds(1)

/**
 * The stateful filter of inner packets, both families. A new flow is judged by the policy; what follows in either direction is
 * recognised by addresses, ports and by the association it came from, so that no third party can answer in another's flow
 * (P-30). A TCP packet in mid-stream may begin a flow where the policy would permit its opening: after a restart of this process
 * conversations go on. ICMP errors pass only when they quote a permitted flow, later fragments only after their first.
 */
export class FlowFilter {
  readonly policy: FlowPolicy
  /** Who carries open flows on, where there is somebody. */
  offload: FlowOffload | undefined
  readonly #limits: FlowLimits
  readonly #seed: number
  readonly #fragments = new FragmentMemory()
  readonly #quoted = new InnerPacket()
  readonly #perInitiator = new Map<FlowEnd, number>()
  readonly #flows = new ChainedTable<Flow>()
  #nextSweep: Instant | undefined

  /** `seed`: a random 32-bit number. */
  constructor(policy: FlowPolicy, seed: number, limits: FlowLimits = defaultFlowLimits) {
    this.policy = policy
    this.#limits = limits
    this.#seed = seed
  }

  get size(): number {
    return this.#flows.size
  }

  flows(): Iterable<Flow> {
    return this.#flows
  }

  /** Returns 0 where the packet may pass, or a DropReason. */
  judge(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): number {
    if (packet.fragment === 2) return this.#fragments.passes(packet, from, now) ? 0 : DropReason.FilterRefused
    const verdict =
      packet.kind === PacketKind.IcmpError ? this.#judgeError(packet, from, to) : this.#judgeFlow(packet, from, to, now)
    if (verdict === 0 && packet.fragment === 1) this.#fragments.remember(packet, from, now)
    return verdict
  }

  /** Ends every flow that `predicate` holds for, at once; returns them. */
  revoke(predicate: (flow: Flow) => boolean): Flow[] {
    const revoked: Flow[] = []
    this.#fragments.clear()
    this.#removeWhere((flow) => {
      if (!predicate(flow)) return undefined
      revoked.push(flow)
      return 'revoked'
    })
    return revoked
  }

  deadline(): Deadline | undefined {
    return this.#nextSweep === undefined ? undefined : { at: this.#nextSweep, why: 'sweep idle flows' }
  }

  expire(now: Instant): void {
    if (this.#nextSweep === undefined || now < this.#nextSweep) return
    this.#removeWhere((flow) => {
      if (now >= flow.until) return 'expired'
      flow.offloaded?.refresh(flow)
      if (elapsed(flow.lastSeen, now) < idleLimit(flow)) return undefined
      return flow.phase === 'closing' ? 'finished' : 'idle'
    })
    this.#fragments.expire(now)
    this.#nextSweep = this.#flows.size === 0 ? undefined : after(now, sweepEvery)
  }

  #judgeFlow(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): number {
    if (packet.kind === PacketKind.Other) return this.#refuse(packet, from, to, now)
    const hash = flowHash(packet, this.#seed)
    for (let flow = this.#flows.first(hash); flow !== undefined; flow = flow.next) {
      if (flow.hash !== hash) continue
      const direction = flow.direction(packet)
      if (direction === 0) continue
      const forward = direction === 1 && flow.initiator === from && flow.responder === to
      const back = direction === -1 && flow.responder === from && flow.initiator === to
      if (!forward && !back) return DropReason.FilterRefused
      if (packet.kind === PacketKind.EchoRequest && !forward) continue
      if (packet.kind === PacketKind.EchoReply && !back) continue
      const opensAnew = flow.phase === 'closing' && forward && (packet.tcpFlags & (TcpFlag.Syn | TcpFlag.Ack)) === TcpFlag.Syn
      if (now >= flow.until || opensAnew) {
        this.#remove(flow, opensAnew ? 'finished' : 'expired')
        break
      }
      note(flow, packet, forward, now)
      this.#offload(flow)
      return 0
    }
    return this.#begin(packet, from, to, hash, now)
  }

  #begin(packet: InnerPacket, from: FlowEnd, to: FlowEnd, hash: number, now: Instant): number {
    const begins =
      packet.kind === PacketKind.EchoReply || (packet.tcpFlags & TcpFlag.Rst) !== 0
        ? refused
        : this.policy.permit(packet, from, to, now)
    if (!(begins > now)) return this.#refuse(packet, from, to, now)
    const own = this.#perInitiator.get(from) ?? 0
    if (this.#flows.size >= this.#limits.flows || own >= this.#limits.perInitiator) return DropReason.QueueFull
    const flow = new Flow(packet, from, to, hash, now, begins)
    this.#flows.add(flow)
    this.#perInitiator.set(from, own + 1)
    this.#nextSweep ??= after(now, sweepEvery)
    note(flow, packet, true, now)
    this.policy.opened?.(flow)
    this.#offload(flow)
    return 0
  }

  /** Resets and the last words of a TCP flow stay with us: they come here from wherever they are seen. */
  #offload(flow: Flow): void {
    if (flow.offloaded === undefined && flow.phase === 'open') flow.offloaded = this.offload?.take(flow)
  }

  /** An ICMP error passes towards the end whose packet it quotes, when that packet's flow is permitted. */
  #judgeError(packet: InnerPacket, from: FlowEnd, to: FlowEnd): number {
    const quoted = this.#quoted
    if (quoted.readQuoted(packet) < 0) return DropReason.InnerMalformed
    const hash = flowHash(quoted, this.#seed)
    for (let flow = this.#flows.first(hash); flow !== undefined; flow = flow.next) {
      const direction = flow.hash === hash ? flow.direction(quoted) : 0
      if (direction === 1 && flow.initiator === to && flow.responder === from) return 0
      if (direction === -1 && flow.responder === to && flow.initiator === from) return 0
    }
    return DropReason.FilterRefused
  }

  #refuse(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): number {
    this.policy.refused?.(packet, from, to, now)
    return DropReason.FilterRefused
  }

  #removeWhere(ending: (flow: Flow) => FlowEnding | undefined): void {
    for (const flow of this.#flows) {
      const why = ending(flow)
      if (why !== undefined) this.#remove(flow, why)
    }
  }

  #remove(flow: Flow, why: FlowEnding): void {
    if (!this.#flows.remove(flow)) return
    flow.offloaded?.refresh(flow)
    flow.offloaded?.forget()
    flow.offloaded = undefined
    const left = (this.#perInitiator.get(flow.initiator) ?? 1) - 1
    if (left === 0) this.#perInitiator.delete(flow.initiator)
    else this.#perInitiator.set(flow.initiator, left)
    this.policy.closed?.(flow, why)
  }
}

function note(flow: Flow, packet: InnerPacket, forward: boolean, now: Instant): void {
  flow.lastSeen = now
  if (forward) flow.bytesForward += packet.length
  else flow.bytesBack += packet.length
  if (packet.kind !== PacketKind.Tcp) return
  if (packet.fragment === 0) hear(forward ? flow.forward : flow.back, packet)
  if ((packet.tcpFlags & TcpFlag.Rst) !== 0) flow.phase = 'closing'
  if ((packet.tcpFlags & TcpFlag.Fin) !== 0) flow.finished |= forward ? 1 : 2
  if (flow.finished === 3) flow.phase = 'closing'
  else if (flow.phase === 'opening' && !forward) flow.phase = 'open'
}

/** Numbers only grow (RFC 9293 §3.4): a packet that was overtaken says nothing new. */
function hear(said: Said, packet: InnerPacket): void {
  const end = sequenceAfter(packet)
  if (said.end === undefined || ((end - said.end) | 0) > 0) said.end = end
  if ((packet.tcpFlags & TcpFlag.Ack) === 0) return
  const acknowledgement = acknowledgementOf(packet)
  if (said.acknowledgement === undefined || ((acknowledgement - said.acknowledgement) | 0) > 0)
    said.acknowledgement = acknowledgement
}

function idleLimit(flow: Flow): number {
  if (flow.protocol === 17) return idle.udp
  if (flow.protocol !== 6) return idle.echo
  return flow.phase === 'open' ? idle.tcpOpen : flow.phase === 'opening' ? idle.tcpOpening : idle.tcpClosing
}
