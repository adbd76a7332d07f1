/** The fast engine's lane over a kernel in memory, which refuses every address that is not the lane's. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import type { FlowPass } from '#shared/platform/linux-engine/lane-messages.ts'
import type { Dice } from '#shared/time/backoff.ts'
import { ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'
import { type Arrival, LaneInPlace } from '#test/shared/platform/linux-engine/fake-kernel.ts'
import { LaneEnd } from '#test/shared/platform/linux-engine/lane-end.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'
import { mutate, pick, randomBytes, roll } from './mutate.ts'

const runs = Number(process.env.ADIT_FUZZ_RUNS ?? 20_000)
const seed = Number(process.env.ADIT_FUZZ_SEED ?? 13)
/** Inputs of one turn. */
const TURN = 16
const ACK = 0x10

const pass = (slot: number, protocol: number, from: number, to: number): FlowPass => ({
  ...{ version: 4, protocol, source: [0x0100_000a], destination: [0x0200_000a], ports: (5 << 16) | 6 },
  ...{ isReply: false, from, to, until: Number.POSITIVE_INFINITY, slot, direction: 0 },
})

const address = { from: '10.0.0.1', to: '10.0.0.2' }
const inners = [
  ipPacket({ ...address, body: udp(5, 6, new Uint8Array(100)) }),
  ipPacket({ ...address, protocol: 6, body: tcp(5, 6, ACK, new Uint8Array(1_000)) }),
  ipPacket({ ...address, protocol: 6, body: tcp(5, 6, ACK) }),
  ipPacket({ from: 'fd00::1', to: 'fd00::2', body: udp(5, 6) }),
]

/** Two sessions that relay to each other and one that goes to the TUN; what the TUN says goes to the second. */
function laneOf() {
  const lane = new LaneInPlace()
  const ends = [new LaneEnd('noise', 1), new LaneEnd('esp', 2), new LaneEnd('esp', 3, { esn: true })] as const
  for (const end of ends) {
    lane.client.install(end.session)
    lane.client.route(end.association, end.local, end.at)
  }
  for (const [i, protocol] of [6, 17].entries()) {
    lane.client.pass([pass(4 * i, protocol, 1, 2)])
    lane.client.pass([pass(4 * i + 1, protocol, 2, 0)])
    lane.client.pass([pass(4 * i + 2, protocol, 3, 1)])
    lane.client.pass([pass(4 * i + 3, protocol, 0, 2)])
  }
  return { lane, ends }
}

const dropsOf = ({ board }: LaneInPlace): number => board.drops.reduce((sum, count) => sum + count)

test('P-13 lane: any datagrams, in buffers cut anyhow: each is taken, told of or counted, and nothing else is touched', () => {
  const dice: Dice = seeded(seed)
  const { lane, ends } = laneOf()
  const { kernel, up, board } = lane
  let arrived = 0
  const arrival = (): Arrival => {
    const end = pick(dice, ends)
    const kinds: (() => Uint8Array)[] = [
      () => end.seal(pick(dice, inners)),
      () => end.seal(mutate(dice, inners)),
      () => mutate(dice, [end.seal(pick(dice, inners))]),
      () => end.seal(randomBytes(dice, 1 + roll(dice, 1_500))),
      () => randomBytes(dice, 1 + roll(dice, 3_000)),
    ]
    const kind = pick(dice, kinds)
    const one = kind()
    const others =
      roll(dice, 2) === 0 ? [] : Array.from({ length: roll(dice, 4) }, () => (roll(dice, 2) ? kind : pick(dice, kinds))())
    const bytes = Uint8Array.from(Buffer.concat([one, ...others]).subarray(0, 65_536))
    const oddly = [1, 16, 32, 33, bytes.length, 70_000, 0, 160, 100 + roll(dice, 900)]
    const segment = roll(dice, 3) === 0 ? pick(dice, oddly) : others.length > 0 ? one.length : undefined
    const cut = segment || bytes.length
    // Not more in a turn than may go up.
    const few = bytes.subarray(0, Math.min(bytes.length, 20 * cut))
    arrived += Math.ceil(few.length / cut)
    return { bytes: few, from: end.at, ...(segment !== undefined && { segment }) }
  }
  const guard = kernel.lane.size - 4_096
  lane.run(
    (function* () {
      kernel.lane.bytes.fill(0xa5, guard)
      for (let i = 0; i < runs / 10; i += TURN) {
        for (let k = 0; k < TURN; k++) (roll(dice, 2) ? kernel.arrivals.v4 : kernel.arrivals.v6).push(arrival())
        yield
        kernel.sent.length = kernel.tunWrites.length = 0
      }
      yield
      lane.client.route(ends[0].association, undefined, undefined)
      lane.client.release(1_001, 'noise')
      yield
      yield
    })(),
  )
  assert.ok(kernel.lane.bytes.subarray(guard).every((byte) => byte === 0xa5))
  assert.equal(board.traffic[0], arrived)
  const refusedOpening = [DropReason.Replayed, DropReason.Unauthentic, DropReason.InnerMalformed, DropReason.Malformed]
  const refusals = refusedOpening.reduce((sum, reason) => sum + board.dropsOf(reason), 0)
  assert.equal(up.raw.length + up.heard + refusals, arrived, 'each datagram is one of these')
  assert.equal(dropsOf(lane), refusals, 'nothing else was lost')
  const [, , relayed, delivered] = board.traffic
  assert.equal(up.packets.length + relayed! + delivered!, up.heardInner, 'each inner packet goes one way')
  const all = [relayed!, delivered!, up.packets.length, up.raw.length, refusals]
  assert.ok(
    all.every((count) => count > 20),
    all.join(),
  )
})

test('P-13 lane: whatever the TUN says, whole packets leave or come up, and nothing else is touched', () => {
  const dice: Dice = seeded(seed)
  const { lane, ends } = laneOf()
  const { kernel, up } = lane
  const superPacket = (): Uint8Array => {
    const body = pick(dice, inners)
    const bytes = new Uint8Array(10 + body.length)
    bytes.set(roll(dice, 8) === 0 ? mutate(dice, [body]).subarray(0, body.length) : body, 10)
    const view = new DataView(bytes.buffer)
    bytes[0] = pick(dice, [0, 0, 1, 1, 3, 255])
    bytes[1] = pick(dice, [0, 1, 4, 5, 0x81, 3, 255])
    view.setUint16(2, pick(dice, [0, 28, 40, 54, 65_535]), true)
    view.setUint16(4, pick(dice, [0, 1, 7, 8, 100, 536, 1_240, 65_535]), true)
    view.setUint16(6, pick(dice, [0, 20, 40, 21, 60_000]), true)
    view.setUint16(8, pick(dice, [0, 6, 16, 7, 65_535]), true)
    return roll(dice, 4) === 0 ? mutate(dice, [bytes]) : bytes
  }
  const guard = kernel.lane.size - 4_096
  let left = 0
  const count = (): void => {
    for (const { datagrams } of kernel.sent.splice(0))
      for (const datagram of datagrams) {
        assert.ok(ends[1].open(datagram).inner.length >= 20)
        left++
      }
  }
  lane.run(
    (function* () {
      kernel.lane.bytes.fill(0xa5, guard)
      for (let i = 0; i < runs / 10; i += TURN) {
        for (let k = 0; k < TURN; k++) kernel.tunReads.push(superPacket().subarray(0, 65_536))
        yield
        count()
      }
      while (kernel.tunReads.length > 0) yield void count()
      yield
      count()
    })(),
  )
  assert.ok(kernel.lane.bytes.subarray(guard).every((byte) => byte === 0xa5))
  assert.equal(lane.board.traffic[1], left)
  assert.ok(left > 100 && up.packets.length > 20 && dropsOf(lane) > 20, `${left}, ${up.packets.length}, ${dropsOf(lane)}`)
})
