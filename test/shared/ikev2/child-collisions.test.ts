import assert from 'node:assert/strict'
import { describe, mock, test } from 'node:test'
import { ChildTable } from '#shared/ikev2/child-sa.ts'
import { collide, comeToRest, cross, delayedRequest, type Ends, eitherFirst, type Play } from './collision-scene.ts'
import { type Side, TwoEnds } from './two-ends.ts'
import { assertWorking } from './working.ts'

/**
 * Collisions of exchanges about Child SAs (RFC 7296 §2.25.1), one test for each of those that strongSwan's child_create, child_delete and
 * child_rekey suites know, under their names. (Those with additional key exchanges, RFC 9370, have no counterpart: they are not offered.)
 */

/** It ends in one working Child SA. */
const scenario = (name: string, play: Play, ends?: Ends): void =>
  eitherFirst(
    name,
    (scene) => {
      play(scene)
      comeToRest(scene.town)
      assertWorking(scene.town)
    },
    ends,
  )

const onlySpi = (town: TwoEnds, side: Side): number => {
  const [spi, ...more] = town.end(side).installed.keys()
  assert.ok(spi !== undefined && more.length === 0)
  return spi
}

function rekey(town: TwoEnds, side: Side): void {
  town.end(side).ike.rekeyChild(onlySpi(town, side), town.now)
}

function close(town: TwoEnds, side: Side, spi = onlySpi(town, side)): void {
  town.end(side).ike.closeChild(spi, town.now)
}

/** About the group of a fresh key exchange. */
const disagreeing = { a: { esp: 'aes256gcm16-x25519-ecp256-esn' }, b: { esp: 'aes256gcm16-ecp256-esn' } }

const sentBy = (town: TwoEnds, side: Side): number => town.wire.filter(({ from }) => from === side).length

describe('child_rekey', () => {
  scenario('regular', ({ town, x, y }) => {
    rekey(town, x)
    town.pass(x)
    assert.equal(town.end(y).installed.size, 2, 'the old one stays while the peer moves')
    town.pass(y)
    assert.equal(town.end(x).installed.size, 2)
  })

  scenario(
    'regular_ke_invalid',
    ({ town, x, y }) => {
      rekey(town, x)
      town.pass(x)
      town.pass(y)
      town.settle()
      assert.equal(town.end(x).installed.size, 1)
    },
    disagreeing,
  )

  scenario('regular_responder_ignore_soft_expire', ({ town, x, y }) => {
    const old = onlySpi(town, y)
    rekey(town, x)
    town.pass(x)
    const answer = town.hold(y)
    town.end(y).ike.rekeyChild(old, town.now)
    town.collect()
    assert.equal(sentBy(town, y), 0)
    town.deliver(answer)
  })

  scenario('regular_responder_handle_hard_expire', ({ town, x, y }) => {
    const old = onlySpi(town, y)
    rekey(town, x)
    town.pass(x)
    const answer = town.hold(y)
    close(town, y, old)
    const expiry = town.hold(y)
    town.deliver(answer)
    town.deliver(expiry)
  })

  scenario('regular_responder_delete', ({ town, x, y }) => {
    const old = onlySpi(town, y)
    rekey(town, x)
    town.pass(x)
    const fresh = [...town.end(y).installed.keys()].find((spi) => spi !== old)!
    town.pass(y)
    close(town, y, fresh)
  })

  scenario('regular_responder_incorrect_delete', ({ town, x, y }) => {
    const old = onlySpi(town, y)
    rekey(town, x)
    town.pass(x)
    const answer = town.hold(y)
    close(town, y, old)
    town.pass(y)
    town.deliver(answer)
  })

  scenario('regular_responder_lost_sa', ({ town, x, y }) => {
    rekey(town, x)
    // The peer's table is emptied behind its back: nothing was said of it.
    const lose = mock.method(ChildTable.prototype, 'outbound', function (this: ChildTable) {
      for (const child of this) this.remove(child)
      return undefined
    })
    town.pass(x)
    lose.mock.restore()
    town.end(y).installed.clear()
    town.pass(y)
    assert.equal(town.end(x).installed.size, 0, 'CHILD_SA_NOT_FOUND: it goes without a word')
  })

  scenario('collision', (scene) => {
    const { town, x } = scene
    collide(scene, rekey)
    assert.equal(town.end(x).installed.size, 2)
    town.settle()
    assert.ok(
      town
        .end(x)
        .kinds()
        .filter((kind) => kind === 'child-up').length === 3,
      'one of two was redundant',
    )
  })

  scenario('collision, answers in the other order', (scene) => {
    const { town, x, y } = scene
    collide(scene, rekey)
    const [answerX, answerY] = [town.hold(x), town.hold(y)]
    town.deliver(answerY)
    town.settle()
    town.deliver(answerX)
  })

  scenario('collision_delayed_request', (scene) => {
    const { town, x } = scene
    const late = delayedRequest(scene, rekey)
    const deletion = town.hold(x)
    // The other one is already deleting what is to be rekeyed: TEMPORARY_FAILURE.
    town.deliver(late)
    town.deliver(deletion)
  })

  scenario('collision_delayed_request_more', (scene) => {
    const { town, x, y } = scene
    const late = delayedRequest(scene, rekey)
    const deletion = town.hold(x)
    town.deliver(deletion)
    const deleted = town.hold(y)
    town.deliver(late)
    town.deliver(deleted)
  })

  scenario('collision_delayed_request_more_delete', (scene) => {
    const { town, x, y } = scene
    const late = delayedRequest(scene, rekey)
    town.pass(x)
    town.pass(y)
    // The old one is gone at both ends: CHILD_SA_NOT_FOUND.
    town.deliver(late)
  })

  scenario('collision_delayed_response', (scene) => {
    const { town, x, y } = scene
    collide(scene, rekey)
    const late = town.hold(y)
    town.pass(x)
    while (sentBy(town, y) > 0) {
      town.pass(y)
      while (sentBy(town, x) > 0) town.pass(x)
    }
    town.deliver(late)
  })

  scenario('collision_delayed_response_delete', (scene) => {
    const { town, x, y } = scene
    collide(scene, rekey)
    const late = town.hold(y)
    town.pass(x)
    town.settle()
    for (const spi of [...town.end(y).installed.keys()]) close(town, y, spi)
    town.settle()
    town.deliver(late)
  })

  scenario('collision_ke_invalid', (scene) => collide(scene, rekey), disagreeing)

  scenario(
    'collision_ke_invalid_delayed_retry',
    (scene) => {
      const { town, x, y } = scene
      collide(scene, rekey)
      const [answerX, answerY] = [town.hold(x), town.hold(y)]
      town.deliver(answerX)
      const late = sentBy(town, y) > 0 ? town.hold(y) : undefined
      town.deliver(answerY)
      while (sentBy(town, x) > 0) {
        town.pass(x)
        while (sentBy(town, y) > 0) town.pass(y)
      }
      if (late !== undefined) town.deliver(late)
    },
    disagreeing,
  )

  scenario('collision_delete', (scene) => {
    const { town, x, y } = scene
    rekey(town, x)
    close(town, y)
    cross(scene)
  })

  scenario('collision_delete_drop_rekey', ({ town, x, y }) => {
    rekey(town, x)
    close(town, y)
    const late = town.hold(x)
    town.pass(y)
    town.pass(x)
    town.deliver(late)
  })

  scenario('collision_delete_delayed_response', ({ town, x, y }) => {
    const old = onlySpi(town, y)
    rekey(town, x)
    town.pass(x)
    const late = town.hold(y)
    const fresh = [...town.end(y).installed.keys()].find((spi) => spi !== old)!
    close(town, y, fresh)
    town.pass(y)
    town.pass(x)
    town.deliver(late)
  })

  scenario('collision_responder_incorrect_delete', (scene) => {
    const { town, x, y } = scene
    const old = onlySpi(town, y)
    collide(scene, rekey)
    town.pass(x)
    close(town, y, old)
  })
})

describe('child_delete', () => {
  scenario('collision', (scene) => collide(scene, close))

  scenario('collision_ike_rekey', (scene) => {
    const { town, x, y } = scene
    close(town, x)
    town.end(y).ike.rekeyIke(town.now)
    cross(scene)
  })
})

describe('child_create', () => {
  test('duplicate: what exists is not made again', () => {
    const town = new TwoEnds().connect()
    town.a.ike.createChild(town.now)
    town.collect()
    assert.equal(town.wire.length, 0)
  })

  scenario('collision_ike_rekey', ({ town }) => {
    close(town, 'b')
    town.settle()
    town.a.ike.createChild(town.now)
    town.b.ike.rekeyIke(town.now)
    const [fromA, fromB] = [town.hold('a'), town.hold('b')]
    town.deliver(fromA)
    town.deliver(fromB)
  })
})
