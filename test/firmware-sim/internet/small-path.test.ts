/** A direct way through networks that lose large datagrams without a word, the whole internet simulated: copies go on by the hub. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Internet, wires } from '#sim/internet/internet.ts'
import { natKinds } from '#sim/nat-box.ts'
import { Meeting } from '#test/firmware-sim/internet/meeting.ts'

/** The device behind a NAT, whose way to everybody carries `mtu` bytes from now on: the hub's too. */
function scene() {
  const internet = new Internet(7)
  const broker = internet.server('broker', ['198.51.100.2'])
  const home = internet.site({ nat: natKinds['port-restricted'], wires: wires(20) })
  const place = new Meeting({ broker, pi: home.host('pi'), ann: internet.server('ann', ['192.0.2.9']) }, 7)
  const narrow = (mtu: number): void => {
    for (const wire of [home.router.outside.up, home.router.outside.down]) wire.quality = { ...wire.quality, mtu }
  }
  return { place, narrow, why: () => place.ann.core.direct?.status('pi')?.why?.code }
}

for (const mtu of [1_000, 1_280])
  test(`a copy over a silent MTU of ${mtu} goes through the hub within seconds, and directly once all passes`, async () => {
    const { place, narrow, why } = scene()
    narrow(mtu)
    assert.ok(place.start(60_000))
    assert.deepEqual(place.meet(), ['relay', 'relay'])
    const copy = await place.copy(200_000, 20_000)
    assert.deepEqual([copy.received, copy.wrong], [200_000, 0])
    assert.equal(why(), 'small-packets-only')
    narrow(1_500)
    assert.ok(place.run(70_000, () => !place.ways.includes('relay')))
    const wide = await place.copy(200_000, 5_000)
    assert.deepEqual([wide.received, wide.wrong], [200_000, 0])
    assert.ok(!place.ways.includes('relay'))
  })

test('a way that shrinks to 1,000 bytes in a running copy is left, and the copy ends', async (t) => {
  const { place, narrow } = scene()
  assert.ok(place.start())
  assert.ok(!place.meet().includes('relay'))
  const copy = await place.copy(2_000_000, 120_000, (received) => {
    if (received > 500_000) narrow(1_000)
  })
  t.diagnostic(`without a byte for ${copy.longestGap} ms`)
  assert.ok(copy.longestGap <= 8_000)
  assert.deepEqual([copy.received, copy.wrong, place.ways[1]], [2_000_000, 0, 'relay'])
})
