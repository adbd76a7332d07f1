import assert from 'node:assert/strict'
import test from 'node:test'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'

const minute = 60_000

test('why: drops are told of the peer whose they are, and only while they tell something', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { gateway, clock } = fixture
  const ann = await fixture.enrol('operator', { name: 'ann' })
  await fixture.enrol('device', { name: 'pi', tags: ['roof'] })
  await fixture.enrol('device', { name: 'other', tags: ['roof'] })
  await fixture.grant('ann', 'roof')
  const now = clock.wall()
  for (const name of ['pi', 'other']) gateway.presences.set(name, { state: 'up', since: now, lastAuthentic: now })
  const factsOf = async (name: string) =>
    (
      (await fixture.ask(`/v1/devices/${name}/why`, { as: ann })).json.facts as {
        code: string
        state: string
        text: string
        mend: string
      }[]
    )
      .filter(({ code }) => /inner|stale/.test(code))
      .map(({ code, state, text, mend }) => ({ code, state, text, isMended: mend !== '' }))
  // Counted for all together: nothing of these two.
  gateway.refused = { 'inner-too-big': 5, 'inner-source-refused': 6, 'stale-timestamp': 7 }
  assert.deepEqual(await factsOf('pi'), [])
  gateway.dropped.set('pi', [
    { code: 'inner-too-big', count: 3, lastAt: now - 5_000 },
    { code: 'inner-source-refused', count: 40, lastAt: now - 3 * minute },
  ])
  gateway.dropped.set('ann', [{ code: 'inner-too-big', count: 2, lastAt: now - 1_000 }])
  const text = {
    spoofed: '40 packets of pi bore a source address that is not its own, and were refused, the last 3 min ago.',
    large: '3 packets to pi were too large for its path, the last 5 s ago.',
    ann: '2 packets to ann were too large for its path, the last 1 s ago.',
  }
  assert.deepEqual(await factsOf('pi'), [
    { code: 'inner-source-refused', state: 'warn', text: text.spoofed, isMended: true },
    { code: 'inner-too-big', state: 'ok', text: text.large, isMended: false },
    { code: 'inner-too-big', state: 'ok', text: text.ann, isMended: false },
  ])
  assert.deepEqual(
    (await factsOf('other')).map(({ text }) => text),
    [text.ann],
  )
  clock.forward(11 * minute)
  gateway.presences.set('pi', { state: 'up', since: now, lastAuthentic: clock.wall() })
  assert.deepEqual(await factsOf('pi'), [], 'what was long ago explains nothing')
  // Whose handshake a stale one was nobody has counted: it is said where it may be the device's, and as what it is.
  gateway.answers = false
  gateway.presences.set('pi', { state: 'down', since: now, lastAuthentic: now })
  const [stale, ...rest] = await factsOf('pi')
  assert.deepEqual([stale?.code, stale?.state, rest], ['stale-timestamp', 'ok', []])
  assert.match(stale?.text ?? '', /^Since this broker started, 7 handshakes of all peers together /)
})
