import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fleet } from '#test/lab/fleet.ts'

/** Our own agent in the esp suite: the same device, the same commands, another protocol on the wire. */
test('an agent with suite esp is up, is seen so, reports readings, and is back after the broker was killed', async (t) => {
  const fleet = await Fleet.start(t)
  const device = await fleet.device('pi', { suite: 'esp' })
  const { tunnel } = await device.status<{ tunnel: { state: string; suite: string } }>()
  assert.deepEqual([tunnel.state, tunnel.suite], ['up', 'esp'])

  const ann = await fleet.operator('ann', '--admin')
  const rows: { name: string; state: string; suite: string }[] = JSON.parse(await ann.must(['devices', '--json']))
  assert.deepEqual(
    rows.map(({ name, state, suite }) => [name, state, suite]),
    [['pi', 'up', 'esp']],
  )
  await readings(ann, 1)
  const before = device.program.events.length
  await fleet.crashBroker()
  const from = performance.now()
  await device.program.event((event) => event.event === 'up' && device.program.events.indexOf(event) >= before, 60_000)
  t.diagnostic(`up again ${Math.round(performance.now() - from)} ms after the broker was ready`)
  await ann.must(['why', 'pi'])
})

/** Until the broker has so many vital signs of the device. */
async function readings(operator: Awaited<ReturnType<Fleet['operator']>>, atLeast: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const lines = (await operator.must(['telemetry', 'pi', '--json'])).split('\n').filter(Boolean)
    if (lines.length >= atLeast) return
    await wait(100)
  }
  assert.fail('no reading came')
}
