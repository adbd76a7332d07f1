/** P-26: whatever comes and goes leaves nothing behind. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FlowPass } from '#shared/platform/linux-engine/lane-messages.ts'
import { ipPacket, udp } from '#test/shared/dataplane/packets.ts'
import { LaneInPlace } from './fake-kernel.ts'
import { LaneEnd } from './lane-end.ts'

/** `ADIT_LANE_CYCLES=10000` is the bar of P-26. */
const CYCLES = Number(process.env.ADIT_LANE_CYCLES ?? 2_000)
/** Bytes of heap that one cycle may leave (P-26). */
const SLOPE = 100
/** Cycles before anything is measured: the compiler takes memory too. */
const WARM = 2_000
/** How often the heap is looked at; the least of the first and of the last quarter are compared. */
const LOOKS = 20

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const heap = (): number => {
  collect()
  collect()
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

const flow = (slot: number, from: number, to: number): FlowPass => ({
  ...{ version: 4, protocol: 17, source: [0x0100_000a], destination: [0x0200_000a], ports: (5 << 16) | 6 },
  ...{ isReply: false, from, to, until: Number.POSITIVE_INFINITY, slot, direction: 0 },
})

test('P-26 sessions and flows that come and go, with traffic in between, take no memory and no place for good', () => {
  const size = { sessions: 4, flows: 4 }
  const lane = new LaneInPlace(size)
  const { kernel, client, up } = lane
  const inner = ipPacket({ from: '10.0.0.1', to: '10.0.0.2', body: udp(5, 6, new Uint8Array(200)) })
  const marks: { heap: number; lane: number; keys: number }[] = []
  let relayed = 0
  lane.run(
    (function* () {
      for (let i = 0; i < WARM + CYCLES; i++) {
        // Other associations each time, as after every return of a peer.
        const [a, b] = [new LaneEnd(i % 2 ? 'esp' : 'noise', 2 * i + 1), new LaneEnd('noise', 2 * i + 2)]
        assert.ok(client.install(a.session) && client.install(b.session), `cycle ${i} has no place`)
        client.route(b.association, b.local, { address: '192.0.2.2', port: 2 })
        client.setRoom(b.association, 900)
        client.pass([flow(0, a.association.id, b.association.id)])
        yield
        kernel.arrivals.v4.push({ bytes: a.seal(inner), from: { address: '192.0.2.1', port: 1 } })
        yield
        client.forget(0)
        client.setRoom(b.association, Number.POSITIVE_INFINITY)
        client.route(b.association, undefined, undefined)
        client.release(a.local, a.suite)
        client.release(b.local, b.suite)
        yield
        relayed += kernel.sent.length
        kernel.sent.length = up.raw.length = up.packets.length = 0
        if (i >= WARM && (i - WARM) % Math.ceil(CYCLES / LOOKS) === 0)
          marks.push({ heap: heap(), lane: kernel.lane.allocate(0, 1), keys: kernel.keys.allocate(0, 1) })
      }
    })(),
  )
  assert.equal(relayed, WARM + CYCLES)
  assert.equal(client.installed, 0)
  const [first, last] = [marks[0]!, marks.at(-1)!]
  assert.equal(last.lane, first.lane, 'scratch of the lane')
  assert.equal(last.keys, first.keys, 'key blocks')
  assert.ok(
    kernel.keys.bytes.every((byte) => byte === 0),
    'every key is wiped',
  )
  const least = (some: typeof marks): number => Math.min(...some.map(({ heap }) => heap))
  const slope = (least(marks.slice(-LOOKS / 4)) - least(marks.slice(0, LOOKS / 4))) / (0.75 * CYCLES)
  assert.ok(slope <= SLOPE, `${slope} bytes a cycle`)
})
