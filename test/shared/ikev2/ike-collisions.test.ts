import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type EndOptions, type Parcel, type Side, TwoEnds } from './two-ends.ts'
import { assertWorking } from './working.ts'

/**
 * Collisions of exchanges about the IKE SA (RFC 7296 §2.25.2), one test for each of those that strongSwan's ike_rekey and ike_delete suites
 * know, under their names. (Those with additional key exchanges, RFC 9370, have no counterpart: they are not offered.)
 */
const seeds = [1, 2, 3, 4, 5, 6]
const otherOf = (side: Side): Side => (side === 'a' ? 'b' : 'a')

interface Scene {
  readonly town: TwoEnds
  readonly x: Side
  readonly y: Side
}

function scenario(name: string, play: (scene: Scene) => void, ends: { a?: EndOptions; b?: EndOptions } = {}): void {
  for (const x of ['a', 'b'] as const) {
    test(`${name}, ${x} first`, () => {
      for (const seed of seeds) {
        const town = new TwoEnds({ seed, ...ends }).connect()
        const child = [...town.a.installed.keys()]
        play({ town, x, y: otherOf(x) })
        town.settle()
        town.run(90)
        assertWorking(town)
        assert.deepEqual([...town.a.installed.keys()], child, 'the Child SA was inherited')
      }
    })
  }
}

/** Where the IKE SA itself ends. */
function ending(name: string, play: (scene: Scene) => void): void {
  for (const x of ['a', 'b'] as const) {
    test(`${name}, ${x} first`, () => {
      for (const seed of seeds) {
        const town = new TwoEnds({ seed }).connect()
        play({ town, x, y: otherOf(x) })
        town.settle()
        town.run(90)
        assert.deepEqual([town.a.ike.state, town.b.ike.state], ['closed', 'closed'])
        assert.deepEqual([town.a.reservedSpis.size, town.b.reservedSpis.size], [0, 0])
      }
    })
  }
}

function rekey(town: TwoEnds, side: Side): Parcel {
  town.end(side).ike.rekeyIke(town.now)
  town.collect()
  return town.hold(side)
}

const disagreeing = {
  a: { ike: 'aes256gcm16-prfsha256-x25519-ecp256' },
  b: { ike: 'aes256gcm16-prfsha256-ecp256' },
}

describe('ike_rekey', () => {
  scenario('regular', ({ town, x }) => {
    town.deliver(rekey(town, x))
  })

  scenario(
    'regular_ke_invalid',
    ({ town, x }) => {
      town.deliver(rekey(town, x))
    },
    disagreeing,
  )

  scenario('collision', ({ town, x, y }) => {
    const [fromX, fromY] = [rekey(town, x), rekey(town, y)]
    town.deliver(fromX)
    town.deliver(fromY)
    assert.equal(town.end(x).ike.localSpis.length, 2)
  })

  scenario('collision, answers in the other order', ({ town, x, y }) => {
    const [fromX, fromY] = [rekey(town, x), rekey(town, y)]
    town.deliver(fromX)
    town.deliver(fromY)
    const [answerX, answerY] = [town.hold(x), town.hold(y)]
    town.deliver(answerY)
    town.settle()
    town.deliver(answerX)
  })

  scenario('collision, one answer delayed until the other end is done', ({ town, x, y }) => {
    const [fromX, fromY] = [rekey(town, x), rekey(town, y)]
    town.deliver(fromX)
    town.deliver(fromY)
    const late = town.hold(y)
    town.settle()
    town.deliver(late)
  })

  scenario('collision_delayed_request', ({ town, x, y }) => {
    const [fromX, late] = [rekey(town, x), rekey(town, y)]
    town.deliver(fromX)
    town.pass(y)
    const deletion = town.hold(x)
    // It is closing what the other one wants to rekey: TEMPORARY_FAILURE.
    town.deliver(late)
    const refusal = town.hold(x)
    town.deliver(deletion)
    town.deliver(refusal)
  })

  scenario('collision_delayed_request_and_delete', ({ town, x, y }) => {
    const [fromX, late] = [rekey(town, x), rekey(town, y)]
    town.deliver(fromX)
    town.pass(y)
    const deletion = town.hold(x)
    town.deliver(late)
    town.pass(x)
    town.deliver(deletion)
  })

  scenario('collision_delayed_request_more', ({ town, x, y }) => {
    const [fromX, late] = [rekey(town, x), rekey(town, y)]
    town.deliver(fromX)
    town.pass(y)
    town.pass(x)
    town.pass(y)
    town.deliver(late)
  })

  scenario(
    'collision_ke_invalid',
    ({ town, x, y }) => {
      const [fromX, fromY] = [rekey(town, x), rekey(town, y)]
      town.deliver(fromX)
      town.deliver(fromY)
    },
    disagreeing,
  )

  scenario(
    'collision_ke_invalid_delayed_retry',
    ({ town, x, y }) => {
      const [fromX, fromY] = [rekey(town, x), rekey(town, y)]
      town.deliver(fromX)
      town.deliver(fromY)
      const [answerX, answerY] = [town.hold(x), town.hold(y)]
      town.deliver(answerX)
      const late = town.wire.some(({ from }) => from === y) ? town.hold(y) : undefined
      town.deliver(answerY)
      town.settle()
      if (late !== undefined) town.deliver(late)
    },
    disagreeing,
  )

  ending('collision_delete', ({ town, x, y }) => {
    const fromX = rekey(town, x)
    town.end(y).ike.close(town.now)
    town.collect()
    const fromY = town.hold(y)
    town.deliver(fromX)
    town.deliver(fromY)
  })

  ending('collision_delete_drop_rekey', ({ town, x, y }) => {
    const fromX = rekey(town, x)
    town.end(y).ike.close(town.now)
    town.collect()
    town.pass(y)
    town.settle()
    town.deliver(fromX)
  })
})

describe('ike_delete', () => {
  ending('collision', ({ town, x, y }) => {
    town.end(x).ike.close(town.now)
    town.end(y).ike.close(town.now)
    town.collect()
    const [fromX, fromY] = [town.hold(x), town.hold(y)]
    town.deliver(fromX)
    town.deliver(fromY)
  })

  ending('drop_delete', ({ town, x }) => {
    town.end(x).ike.close(town.now)
    town.collect()
    town.hold(x)
  })
})
