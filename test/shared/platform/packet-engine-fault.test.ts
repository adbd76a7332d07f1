/** The lane's thread dies while it works: another one takes over, and nobody around notices more than a few lost packets. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { assertFresh, marksAt, SETTLING, sendEach, settled, streams } from './engine-talk.ts'
import { Town } from './engine-town.ts'
import { noNative } from './linux-engine/native-here.ts'
import { until } from './town-netstack.ts'

/** Ends the thread at work; it waits in poll(2), from where only something that comes takes it out. */
async function kill(town: Town): Promise<void> {
  const thread = town.threads.at(-1)!
  // Both directions of a stream may ask for it, and the second one may come when it is dead already.
  if (thread.threadId < 0) return
  const ended = new Promise((resolve) => thread.once('exit', resolve))
  void thread.terminate()
  for (const member of town.members) member.wire.inject(Uint8Array.of(0xff))
  await ended
}

/** Resolves when the thread after that is at work. */
async function replaced(town: Town, times: number): Promise<void> {
  await until(() => town.lane!.sessions.restarts === times, `thread ${times + 1} begins`)
  await town.wakeUp()
}

for (const suite of ['noise', 'esp'] as const)
  test(`A-25 ${suite}: the lane's thread dies in the midst of a stream`, {
    skip: noNative,
    timeout: 60_000,
  }, async (t: TestContext) => {
    const town = await Town.open(t, { suite, lanes: 1 })
    const [a, b] = [await town.join(t), await town.join(t)]
    await settled(town, a, b)
    const sessions = town.lane!.sessions.installed
    const said = a.wire.up.length
    await sendEach(a, b, [1, 2, 3])
    const former = a.wire.up.slice(said)
    const deaths: Promise<void>[] = []
    await streams(a, b, b.v4, 200_000, () => deaths.push(kill(town)))
    assert.ok(deaths.length > 0)
    await Promise.all(deaths)
    // As many threads have come as have died.
    await until(
      () => town.lane!.sessions.restarts > 0 && town.lane!.sessions.restarts === town.errors.length,
      'another one begins',
    )
    const first = town.lane!.sessions.restarts
    await replaced(town, first)

    // What was said before the fault is not taken again, though the new thread has a new window.
    const replays = town.drops().replayed ?? 0
    for (const datagram of former) a.wire.inject(datagram)
    await until(() => (town.drops().replayed ?? 0) >= replays + former.length, 'replays from before are refused')
    await sendEach(a, b, [4])
    assert.deepEqual(
      marksAt(b).filter((mark) => mark < SETTLING),
      [1, 2, 3, 4],
    )

    // And once more, and again before the next one has begun to work.
    await kill(town)
    await replaced(town, first + 1)
    await kill(town)
    await replaced(town, first + 2)
    const before = town.relayedByLane
    await sendEach(a, b, [5, 6, 7, 8])
    assert.ok(town.relayedByLane > before, 'the lane relays as before, without being told anew')
    await streams(b, a, a.v6, 50_000)

    assertFresh(a, b)
    assert.equal(town.lane!.sessions.installed, sessions)
    assert.equal(town.lane!.sessions.restarts, first + 2, JSON.stringify(town.errors))
    assert.deepEqual(
      town.errors.map((fields) => (fields as { code: string }).code),
      new Array(town.lane!.sessions.restarts).fill('lane-failed'),
    )
    assert.equal(town.threads.length, town.lane!.sessions.restarts + 1)
    assert.deepEqual(
      town.events.filter(({ kind }) => kind === 'lapsed'),
      [],
    )
  })
