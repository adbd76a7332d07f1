import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Flow } from '#shared/dataplane/flow.ts'
import { FlowFilter, forever } from '#shared/dataplane/flow-filter.ts'
import { HostSplit } from '#shared/dataplane/host-split.ts'
import { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { FlowNumber, LaneBoard } from '#shared/platform/linux-engine/lane-board.ts'
import { LaneFlowOffload } from '#shared/platform/linux-engine/lane-flow-offload.ts'
import type { FlowPass } from '#shared/platform/linux-engine/lane-messages.ts'
import { LaneShortcuts } from '#shared/platform/linux-engine/lane-shortcuts.ts'
import { type Duration, instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { echo, ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'

const A = { id: 11 } as Association
const B = { id: 22 } as Association
const ACK = 0x10
const SYN = 2
const ms = (value: number) => instant(value)

function read(bytes: Uint8Array): InnerPacket {
  const packet = new InnerPacket()
  assert.equal(packet.read(bytes, bytes.length), 0)
  return packet
}

function filterOf(flows = 4, isKernels: (flow: Flow) => boolean = () => false) {
  const board = new LaneBoard({ sessions: 1, flows })
  const passed: FlowPass[] = []
  const forgotten: number[] = []
  const closed: [string, number, number][] = []
  const filter = new FlowFilter(
    {
      permit: () => forever,
      closed: (flow, why) => closed.push([why, flow.bytesForward, flow.bytesBack]),
    },
    5,
  )
  filter.offload = new LaneFlowOffload({
    board,
    pass: (both) => passed.push(...both),
    forget: (slot) => forgotten.push(slot),
    laneOf: ({ id }) => id,
    isKernels,
  })
  return { board, filter, passed, forgotten, closed }
}

const datagram = (from: string, to: string, [source, target] = [5, 6]) => read(ipPacket({ from, to, body: udp(source, target) }))

test('both directions of a flow are let pass, each from its own end only', () => {
  const { filter, passed } = filterOf()
  assert.equal(filter.judge(datagram('10.0.0.1', '10.0.0.2'), A, B, ms(0)), 0)
  assert.equal(filter.judge(datagram('10.0.0.1', '10.0.0.2'), A, B, ms(1)), 0)
  assert.deepEqual(
    passed.map(({ from, to, ports, direction, slot, source, isReply }) => ({
      from,
      to,
      ports,
      direction,
      slot,
      source,
      isReply,
    })),
    [
      { from: 11, to: 22, ports: (5 << 16) | 6, direction: 0, slot: 0, source: [0x0100_000a], isReply: false },
      { from: 22, to: 11, ports: (6 << 16) | 5, direction: 1, slot: 0, source: [0x0200_000a], isReply: false },
    ],
  )
  const v6 = filterOf()
  v6.filter.judge(read(ipPacket({ from: 'fd00::1', to: 'fd00::2', protocol: 58, body: echo(128, 0xbeef) })), A, B, ms(0))
  assert.deepEqual(
    v6.passed.map(({ version, ports, isReply, source }) => [version, ports, isReply, source.length]),
    [
      [6, 0xbeef, false, 4],
      [6, 0xbeef, true, 4],
    ],
  )
})

test('a TCP flow is handed over when it is open, not before, and only a whole one', () => {
  const { filter, passed } = filterOf()
  const segment = (from: string, to: string, flags: number) =>
    read(ipPacket({ from, to, protocol: 6, body: from === '10.0.0.1' ? tcp(5, 6, flags) : tcp(6, 5, flags) }))
  filter.judge(segment('10.0.0.1', '10.0.0.2', SYN), A, B, ms(0))
  assert.equal(passed.length, 0)
  filter.judge(segment('10.0.0.2', '10.0.0.1', SYN | ACK), B, A, ms(1))
  assert.equal(passed.length, 2)
  const midstream = filterOf()
  midstream.filter.judge(segment('10.0.0.1', '10.0.0.2', ACK), A, B, ms(0))
  assert.equal(midstream.passed.length, 0, 'whoever answers is not known yet')
})

test('what passed there keeps the flow, and is counted when it ends', () => {
  const { board, filter, forgotten, closed } = filterOf()
  filter.judge(datagram('10.0.0.1', '10.0.0.2'), A, B, ms(0))
  const at = board.flowAt(0)
  board.flows[at + FlowNumber.lastSeen] = 170_000
  board.flows[at + FlowNumber.bytes] = 5_000
  board.flows[at + FlowNumber.bytes + 1] = 7_000
  filter.expire(ms(181_000))
  assert.equal(filter.size, 1)
  const [flow] = filter.flows()
  assert.equal(flow!.lastSeen, 170_000)
  board.flows[at + FlowNumber.bytes] = 6_000
  filter.expire(ms(349_999))
  assert.equal(filter.size, 1)
  filter.expire(ms(351_000))
  assert.equal(filter.size, 0)
  assert.deepEqual(forgotten, [0])
  assert.deepEqual(closed, [['idle', 36 + 6_000, 7_000]])
})

test('a revoked flow knows what its ends have said in the lane, by which they are reset', () => {
  const { board, filter, forgotten } = filterOf()
  filter.judge(read(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', protocol: 6, body: tcp(5, 6, SYN) })), A, B, ms(0))
  filter.judge(read(ipPacket({ from: '10.0.0.2', to: '10.0.0.1', protocol: 6, body: tcp(6, 5, SYN | ACK) })), B, A, ms(1))
  const at = board.flowAt(0)
  board.flows[at + FlowNumber.end] = 5_000
  board.flows[at + FlowNumber.acknowledgement] = 3_000
  board.flows[at + FlowNumber.said] = 1
  const segment = tcp(5, 6, ACK)
  new DataView(segment.buffer).setUint32(4, 4_000)
  new DataView(segment.buffer).setUint32(8, 3_500)
  // One that was overtaken in its sequence, and acknowledges more.
  filter.judge(read(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', protocol: 6, body: segment })), A, B, ms(2))
  const [flow] = filter.revoke(() => true)
  assert.deepEqual(flow!.forward, { end: 5_000, acknowledgement: 3_500 })
  assert.equal(flow!.back.end, 1, 'the other end has said nothing there')
  assert.deepEqual(forgotten, [0])
})

test('slots are used again when their flow is over, and counted from nothing', () => {
  const { board, filter, passed } = filterOf(2)
  for (const last of [2, 3, 4]) filter.judge(datagram('10.0.0.1', `10.0.0.${last}`), A, B, ms(0))
  assert.deepEqual(
    passed.map(({ slot }) => slot),
    [0, 0, 1, 1],
  )
  board.flows[board.flowAt(0) + FlowNumber.bytes] = 99
  filter.revoke((flow) => flow.responderAddress === '10.0.0.2')
  filter.judge(datagram('10.0.0.1', '10.0.0.4'), A, B, ms(50))
  assert.equal(passed.at(-1)!.slot, 0)
  assert.equal(board.flows[board.flowAt(0) + FlowNumber.bytes], 0)
  assert.equal(board.flows[board.flowAt(0) + FlowNumber.lastSeen], 50)
})

test('flows of this host go there where they end in the kernel', () => {
  const { filter, passed } = filterOf(4, (flow) => flow.responderPort === 6)
  filter.judge(datagram('10.0.0.1', '10.0.0.2'), A, undefined, ms(0))
  filter.judge(datagram('10.0.0.1', '10.0.0.2', [5, 7]), A, undefined, ms(0))
  assert.deepEqual(
    passed.map(({ from, to }) => [from, to]),
    [
      [11, 0],
      [0, 11],
    ],
  )
})

test('the kernel has all that the stack beside it does not claim', () => {
  const split = new HostSplit({ owns: (protocol, port) => (protocol === 6 && port === 22) || (protocol === 1 && port === 9) })
  const of = (protocol: number, body: Uint8Array) =>
    split.isKernels(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', protocol, body }))
  assert.equal(of(6, tcp(1, 22, SYN)), false)
  assert.equal(of(6, tcp(22, 1, SYN)), true)
  assert.equal(of(17, udp(1, 22)), true)
  assert.equal(of(1, echo(8, 9)), true, 'the kernel answers echoes')
  assert.equal(of(1, echo(0, 9)), false)
  assert.equal(of(1, echo(0, 8)), true)
  assert.equal(split.isKernels(new Uint8Array(3)), false)
  const quoting = (source: number, target: number) => {
    const error = new Uint8Array(8 + 40)
    error.set([3, 1])
    error.set(ipPacket({ from: '10.0.0.2', to: '10.0.0.1', protocol: 6, body: tcp(source, target, ACK) }), 8)
    return error
  }
  assert.equal(of(1, quoting(22, 1)), false, "an error about the stack's packet")
  assert.equal(of(1, quoting(1, 22)), true)
  const flow = (more: object) => more as Flow
  assert.equal(
    split.isKernelsFlow(flow({ protocol: 6, initiator: A, responder: undefined, initiatorPort: 1, responderPort: 22 })),
    false,
  )
  assert.equal(
    split.isKernelsFlow(flow({ protocol: 6, initiator: undefined, responder: A, initiatorPort: 1, responderPort: 22 })),
    true,
  )
  assert.equal(
    split.isKernelsFlow(flow({ protocol: 1, initiator: A, responder: undefined, initiatorPort: 9, responderPort: 9 })),
    true,
  )
  assert.equal(
    split.isKernelsFlow(flow({ protocol: 1, initiator: undefined, responder: A, initiatorPort: 9, responderPort: 9 })),
    false,
  )
})

test('an agent lets each direction pass by itself, while it is used, and never what begins or ends a connection', () => {
  const board = new LaneBoard({ sessions: 1, flows: 2 })
  const passed: FlowPass[] = []
  const forgotten: number[] = []
  const timers: { at: number; call: () => void }[] = []
  let now = 0
  const shortcuts = new LaneShortcuts({
    board,
    clock: { now: () => instant(now), wall: () => 0 as never },
    timers: {
      setTimer: (delay: Duration, call: () => void) => {
        timers.push({ at: now + delay, call })
        return { clear: () => void timers.splice(0) }
      },
    },
    pass: (flows) => passed.push(...flows),
    forget: (slot) => forgotten.push(slot),
    laneOf: ({ id }) => id,
  })
  const one = (flags: number) => read(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', protocol: 6, body: tcp(5, 6, flags) }))
  for (const flags of [SYN, SYN | ACK, 1 | ACK, 4 | ACK]) shortcuts.passed(one(flags), undefined, A)
  shortcuts.passed(read(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', fragmentField: 0x2000 })), undefined, A)
  assert.equal(passed.length, 0)
  shortcuts.passed(one(ACK), undefined, A)
  shortcuts.passed(one(ACK), undefined, A)
  assert.equal(passed.length, 1)
  assert.deepEqual([passed[0]!.from, passed[0]!.to, passed[0]!.ports], [0, 11, (5 << 16) | 6])
  shortcuts.passed(read(ipPacket({ from: '10.0.0.2', to: '10.0.0.1', protocol: 1, body: echo(0, 77) })), B, undefined)
  assert.deepEqual([passed[1]!.from, passed[1]!.to, passed[1]!.ports, passed[1]!.isReply], [22, 0, 77, true])
  shortcuts.passed(one(ACK), undefined, B)
  assert.equal(passed.length, 2, 'there is no slot left')
  board.flows[board.flowAt(1) + FlowNumber.lastSeen] = 50_000
  const sweep = (): void => {
    const timer = timers.shift()!
    now = timer.at
    timer.call()
  }
  sweep()
  sweep()
  assert.deepEqual(forgotten, [])
  sweep()
  assert.equal(now, 60_000)
  sweep()
  assert.deepEqual(forgotten, [0])
  assert.equal(shortcuts.size, 1)
  shortcuts.passed(one(ACK), undefined, B)
  assert.equal(passed.at(-1)!.slot, 0)
  shortcuts.forgetAll()
  assert.deepEqual(forgotten.slice(1).sort(), [0, 1])
  assert.equal(shortcuts.size, 0)
  sweep()
  assert.equal(timers.length, 0, 'with nothing left there is nothing to wake for')
})
