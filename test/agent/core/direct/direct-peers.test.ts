import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NatKind } from '#sim/nat-box.ts'
import { brokerAt } from '#test/agent/core/virtual-world.ts'
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

for (const oneLan of [true, false])
  test(`a device that meets others through the hub alone says nothing elsewhere, ${oneLan ? 'on its LAN' : 'behind its NAT'}`, async () => {
    const place = scene({ device: 'full-cone', operator: 'full-cone', oneLan, seed: 4 })
    const { world, device, operator } = place
    device.relayOnly = true
    assert.equal(untilDirect(place, 20_000), undefined)
    assert.equal(operator.path('pi'), 'relay')
    const status = operator.core.direct!.status('pi')!
    assert.deepEqual([status.state, status.why?.code], ['established', 'no-places-there'])
    // Whoever guesses the place, with a session or with a letter, is answered through the hub alone.
    const hub = (to: { address: string }): boolean => to.address === brokerAt.address
    const letters = operator.sent.length
    place.broker.isDead = true
    operator.core.direct!.leave('pi')
    operator.core.direct!.seek(place.target(), 'auto', [{ kind: 'host', endpoint: device.at }])
    world.run(60_000)
    if (oneLan)
      assert.ok(
        operator.sent.slice(letters).some(({ to }) => to.address === device.at.address),
        'it was asked',
      )
    assert.equal(operator.path('pi'), undefined)
    assert.ok(device.sent.every(({ to }) => hub(to)))
  })

/** Outer bytes, IP header included, that pass between the two ends, without a word to anybody; both reach the broker with all. */
function narrow({ world }: Scene, mtu: number): void {
  world.filter = (datagram, from, to) =>
    [from, to].some(({ address }) => address === brokerAt.address) || datagram.length + 28 <= mtu
}

for (const mtu of [1_000, 1_280])
  test(`a direct path of ${mtu} bytes is not taken, and named; once it carries all it is`, async () => {
    const place = scene({ device: 'port-restricted', operator: 'port-restricted' })
    const { operator, device } = place
    narrow(place, mtu)
    assert.equal(untilDirect(place, 5_000), undefined)
    const stream = new RunningStream(place)
    assert.ok((await stream.flow(5_000)) > 100_000, 'the stream goes through the hub')
    assert.deepEqual([operator.path('pi'), device.path('ann')], ['relay', 'relay'])
    assert.equal(operator.core.direct!.status('pi')?.why?.code, 'small-packets-only')
    narrow(place, 1_500)
    await stream.flow(40_000)
    assert.deepEqual([operator.path('pi'), device.path('ann')], ['reflexive', 'reflexive'])
    assert.ok((await stream.flow(1_000)) > 10_000)
    assert.deepEqual([stream.wrong, stream.closed], [0, false])
  })

test('a direct path that shrinks under a stream is left within seconds, and taken again once it carries all', async () => {
  const place = scene({ device: 'port-restricted', operator: 'port-restricted' })
  const { world, device } = place
  assert.ok(untilDirect(place) !== undefined)
  const stream = new RunningStream(place)
  assert.ok((await stream.flow(3_000)) > 10_000)
  assert.equal(device.path('ann'), 'reflexive')
  narrow(place, 1_000)
  const from = world.now()
  // The device sends what is large; the operator's own words go on coming, so that nothing but the time raises a doubt.
  await stream.flow(13_000)
  const left = device.events.findLast((event) => event.kind === 'path')
  assert.ok(left?.kind === 'path' && left.why === 'too-small' && left.at - from < 13_000, `${left && left.at - from}`)
  assert.ok((await stream.flow(3_000)) > 10_000, 'through the hub')
  narrow(place, 1_500)
  await stream.flow(60_000)
  assert.equal(device.path('ann'), 'reflexive')
  assert.deepEqual([stream.wrong, stream.closed], [0, false])
})
