/** Two lanes: each member's sessions are one lane's, whatever the other one does, and packets pass between them without the main thread. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertFresh, datagramTo, marksAt, SETTLING, sendEach, settled, streams } from './engine-talk.ts'
import { Town } from './engine-town.ts'
import { noNative } from './linux-engine/native-here.ts'
import type { Member } from './town-member.ts'
import { until } from './town-netstack.ts'

const skip = noNative
const own = (member: Member): number[] => marksAt(member).filter((mark) => mark < SETTLING)

/** Ends the thread of a lane; what comes for that lane takes it out of poll(2). */
async function kill(town: Town, lane: number): Promise<void> {
  const thread = town.threads[lane]!
  const ended = new Promise((resolve) => thread.once('exit', resolve))
  void thread.terminate()
  const nudge = new Uint8Array(32)
  nudge.set([4, 0, 0, 0, lane])
  town.members[0]!.wire.inject(nudge)
  await ended
}

for (const suite of ['noise', 'esp'] as const) {
  test(`${suite}: once flows are let pass nothing comes up, within a lane and from one to the other`, {
    skip,
    timeout: 60_000,
  }, async (t) => {
    const town = await Town.open(t, { suite, lanes: 2 })
    const [a, b, c] = [await town.join(t), await town.join(t), await town.join(t)]
    const lane = town.lane!
    assert.deepEqual(
      [a, b, c].map(({ atHub }) => lane.sessions.laneOf(atHub)),
      [0, 1, 0],
    )
    for (const [from, to] of [
      [a, b],
      [b, a],
      [a, c],
      [c, a],
    ] as const) {
      await settled(town, from, to)
      const before = lane.traffic
      await sendEach(
        from,
        to,
        [1, 2, 3, 4, 5].map((mark) => mark + 10 * from.number + 100 * to.number),
      )
      const { relayed, raised } = lane.traffic
      assert.deepEqual([relayed - before.relayed, raised - before.raised], [5, 0], `${from.id} to ${to.id}`)
    }
    assert.equal(lane.sessions.installed, 3)
    assertNumbers(a, b, c)
    assert.deepEqual(town.drops(), {})
  })

  test(`${suite}: a datagram that came to the wrong lane is handed on by the main thread, and taken once`, {
    skip,
    timeout: 30_000,
  }, async (t) => {
    const town = await Town.open(t, { suite, lanes: 2 })
    const [a, b] = [await town.join(t), await town.join(t)]
    await settled(town, b, a)
    const out = new Uint8Array(2_048)
    const inner = datagramTo(b, a, 7)
    const size = b.association.seal(inner, inner.length, out, b.now)
    const from = { address: town.local.address, port: b.wire.port }
    town.engine.receive(out.slice(0, size), from)
    await until(() => own(a).includes(7), 'it arrives')
    const before = town.drops().replayed ?? 0
    town.engine.receive(out.slice(0, size), from)
    b.wire.inject(out.subarray(0, size))
    await until(() => town.drops().replayed === before + 2, 'both repetitions are refused')
    await sendEach(b, a, [8])
    assert.deepEqual(own(a), [7, 8])
  })

  test(`A-25 ${suite}: the thread of one lane dies; the other goes on, and what was said before is not taken again`, {
    skip,
    timeout: 60_000,
  }, async (t) => {
    const town = await Town.open(t, { suite, lanes: 2 })
    const [a, b, c] = [await town.join(t), await town.join(t), await town.join(t)]
    await settled(town, a, c)
    await settled(town, a, b)
    await settled(town, b, a)
    const said = b.wire.up.length
    await sendEach(b, a, [1, 2, 3])
    const former = b.wire.up.slice(said)
    await kill(town, 1)
    // Lane 0 is not touched: what is its own passes, and so does what it seals for the members of lane 1.
    const before = town.relayedByLane
    await sendEach(a, c, [4, 5])
    await sendEach(a, b, [6])
    assert.ok(town.relayedByLane >= before + 3)
    await until(() => town.lane!.sessions.restarts === 1, 'another thread begins')
    const replays = town.drops().replayed ?? 0
    for (const datagram of former) b.wire.inject(datagram)
    await until(() => (town.drops().replayed ?? 0) >= replays + former.length, 'replays from before are refused')
    await sendEach(b, a, [7])
    await streams(a, b, b.v4, 100_000)
    await streams(b, c, c.v6, 100_000)
    assert.equal(town.threads.length, 3)
    assert.equal(town.lane!.sessions.restarts, 1)
    assert.deepEqual(
      town.errors.map((fields) => (fields as { lane: number }).lane),
      [1],
    )
    assert.deepEqual(own(a), [1, 2, 3, 7])
    assertFresh(a, b, c)
    assert.deepEqual(
      town.events.filter(({ kind }) => kind === 'lapsed'),
      [],
    )
  })
}

/** Datagrams that members sent in this suite name numbers of the lane that they are of. */
function assertNumbers(...members: Member[]): void {
  for (const { wire, number } of members) {
    const data = wire.up.filter((datagram) => datagram.length > 40 && (datagram[0] === 4 || datagram[0]! >= 0x80))
    assert.ok(data.length > 0)
    for (const datagram of data) assert.equal(datagram[datagram[0] === 4 ? 4 : 3]! % 2, number % 2)
  }
}
