import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { otherSide, TwoEnds } from './two-ends.ts'
import { assertWorking } from './working.ts'

describe('two IKE machines', () => {
  test('establish an IKE SA and a Child SA with a pre-shared key in four messages', () => {
    const town = new TwoEnds({ cheap: false })
    town.initiate()
    let messages = 0
    while (town.wire.length > 0) {
      messages++
      town.pass(town.wire[0]!.from)
    }
    assert.equal(messages, 4)
    assertWorking(town)
    assert.deepEqual(town.a.kinds(), ['rekeyed', 'authenticated', 'child-up', 'child-use'])
    assert.deepEqual(town.b.kinds(), ['authenticated', 'child-up', 'child-use'])
  })

  for (const side of ['a', 'b'] as const) {
    test(`${side} rekeys the Child SA: the old one sends until the new one is known at both ends`, () => {
      const town = new TwoEnds().connect()
      const old = [...town.a.installed.keys(), ...town.b.installed.keys()]
      const end = town.end(side)
      end.ike.rekeyChild([...end.installed.keys()][0]!, town.now)
      town.settle()
      assertWorking(town)
      for (const spi of [...town.a.installed.keys(), ...town.b.installed.keys()]) assert.ok(!old.includes(spi))
    })

    test(`${side} rekeys the IKE SA`, () => {
      const town = new TwoEnds().connect()
      const old = town.a.ike.localSpis[0]
      const children = [...town.a.installed.keys()]
      town.end(side).ike.rekeyIke(town.now)
      town.settle()
      town.run(70)
      assertWorking(town)
      assert.notEqual(town.a.ike.localSpis[0], old)
      assert.deepEqual([...town.a.installed.keys()], children, 'Child SAs live on')
    })

    test(`${side} closes`, () => {
      const town = new TwoEnds().connect()
      town.end(side).ike.close(town.now)
      town.settle()
      assert.equal(town.end(side).closedWhy(), 'local')
      assert.equal(town.end(otherSide[side]).closedWhy(), 'gone')
    })
  }
})
