import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NatKind } from '#sim/nat-box.ts'
import { RunningStream, type Scene, scene } from './direct-world.ts'

/** Seeks the device; returns the ms until a direct way is in use, or undefined where none is after `ms`. */
function untilDirect({ world, operator, device, target }: Scene, ms = 2_000): number | undefined {
  assert.ok(world.run(5_000, () => operator.core.state === 'up' && device.core.state === 'up'))
  world.run(500)
  const from = world.now()
  operator.core.direct!.seek(target())
  const isDirect = (): boolean => {
    const [there, back] = [operator.path('pi'), device.path('ann')]
    return there !== undefined && there !== 'relay' && back !== undefined && back !== 'relay'
  }
  return world.run(ms, isDirect) ? world.now() - from : undefined
}

const easy: NatKind[] = ['full-cone', 'restricted', 'port-restricted']

for (const device of easy)
  for (const operator of easy)
    test(`F-12 easy-easy: ${device} and ${operator} meet directly within 2 s, both ways`, () => {
      const took = untilDirect(scene({ device, operator }))
      assert.ok(took !== undefined && took <= 2_000)
    })

test('F-12 easy-hard: an endpoint-independent filter on one side is enough', () => {
  assert.ok(untilDirect(scene({ device: 'full-cone', operator: 'symmetric' })) !== undefined)
  assert.ok(untilDirect(scene({ device: 'symmetric', operator: 'restricted' })) !== undefined)
})

test('F-12 hard-hard relays, says why, and claims nothing else', () => {
  const place = scene({ device: 'symmetric', operator: 'symmetric' })
  assert.equal(untilDirect(place, 20_000), undefined)
  const status = place.operator.core.direct!.status('pi')!
  assert.equal(status.state, 'established')
  assert.equal(status.path.kind, 'relay')
  assert.equal(status.why?.code, 'nat')
})

test('on one LAN the LAN is used, though both have reflexive addresses too', () => {
  const place = scene({ device: 'port-restricted', operator: 'port-restricted', oneLan: true })
  assert.ok(untilDirect(place) !== undefined)
  place.world.run(3_000)
  assert.equal(place.operator.path('pi'), 'host')
  assert.equal(place.device.path('ann'), 'host')
})

test('relay to direct and back loses no byte of a running stream; the silent way is left', async () => {
  const place = scene({ device: 'port-restricted', operator: 'port-restricted' })
  const { world, operator, device, target, broker } = place
  assert.ok(world.run(5_000, () => operator.core.state === 'up' && device.core.state === 'up'))
  const stream = new RunningStream(place)
  assert.ok((await stream.flow(1_000)) > 10_000, 'through the hub, before anything else')
  operator.core.direct!.seek(target())
  assert.ok((await stream.flow(3_000)) > 10_000)
  assert.equal(operator.path('pi'), 'reflexive')
  const relayed = broker.relayed
  assert.ok((await stream.flow(1_000)) > 10_000)
  assert.ok(broker.relayed - relayed < 5, 'nothing of it goes through the hub any more')
  // The direct way dies without a word.
  world.filter = (_, from, to) => from === undefined || from.address === '198.51.100.2' || to.address === '198.51.100.2'
  const died = world.now()
  assert.ok((await stream.flow(4_000)) > 10_000)
  assert.equal(operator.path('pi'), 'relay')
  const left = operator.events.findLast((event) => event.kind === 'path')
  assert.ok(left?.kind === 'path' && left.why === 'silent' && left.at - died < 3_500, `${left && left.at - died}`)
  // And comes back.
  world.filter = () => true
  await stream.flow(30_000)
  assert.equal(operator.path('pi'), 'reflexive')
  assert.ok((await stream.flow(1_000)) > 10_000)
  assert.equal(stream.wrong, 0)
  assert.equal(stream.closed, false)
})
