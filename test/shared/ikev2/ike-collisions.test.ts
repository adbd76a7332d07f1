import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { collide, comeToRest, cross, delayedRequest, type Ends, eitherFirst, type Play } from './collision-scene.ts'
import type { Side, TwoEnds } from './two-ends.ts'
import { assertWorking } from './working.ts'

/**
 * Collisions of exchanges about the IKE SA (RFC 7296 §2.25.2), one test for each of those that strongSwan's ike_rekey and ike_delete suites
 * know, under their names. (Those with additional key exchanges, RFC 9370, have no counterpart: they are not offered.)
 */

/** It ends in one working IKE SA. */
const scenario = (name: string, play: Play, ends?: Ends): void =>
  eitherFirst(
    name,
    (scene) => {
      const { town } = scene
      const child = [...town.a.installed.keys()]
      play(scene)
      comeToRest(town)
      assertWorking(town)
      assert.deepEqual([...town.a.installed.keys()], child, 'the Child SA was inherited')
    },
    ends,
  )

/** Where the IKE SA itself ends. */
const ending = (name: string, play: Play): void =>
  eitherFirst(name, (scene) => {
    const { town } = scene
    play(scene)
    comeToRest(town)
    assert.deepEqual([town.a.ike.state, town.b.ike.state], ['closed', 'closed'])
    assert.deepEqual([town.a.reservedSpis.size, town.b.reservedSpis.size], [0, 0])
  })

const rekey = (town: TwoEnds, side: Side): void => town.end(side).ike.rekeyIke(town.now)
const close = (town: TwoEnds, side: Side): void => town.end(side).ike.close(town.now)

const disagreeing = {
  a: { ike: 'aes256gcm16-prfsha256-x25519-ecp256' },
  b: { ike: 'aes256gcm16-prfsha256-ecp256' },
}

describe('ike_rekey', () => {
  scenario('regular', ({ town, x }) => rekey(town, x))

  scenario('regular_ke_invalid', ({ town, x }) => rekey(town, x), disagreeing)

  scenario('collision', (scene) => {
    const { town, x } = scene
    collide(scene, rekey)
    assert.equal(town.end(x).ike.localSpis.length, 2)
  })

  scenario('collision, answers in the other order', (scene) => {
    const { town, x, y } = scene
    collide(scene, rekey)
    const [answerX, answerY] = [town.hold(x), town.hold(y)]
    town.deliver(answerY)
    town.settle()
    town.deliver(answerX)
  })

  scenario('collision, one answer delayed until the other end is done', (scene) => {
    const { town, y } = scene
    collide(scene, rekey)
    const late = town.hold(y)
    town.settle()
    town.deliver(late)
  })

  scenario('collision_delayed_request', (scene) => {
    const { town, x } = scene
    const late = delayedRequest(scene, rekey)
    const deletion = town.hold(x)
    // It is closing what the other one wants to rekey: TEMPORARY_FAILURE.
    town.deliver(late)
    const refusal = town.hold(x)
    town.deliver(deletion)
    town.deliver(refusal)
  })

  scenario('collision_delayed_request_and_delete', (scene) => {
    const { town, x } = scene
    const late = delayedRequest(scene, rekey)
    const deletion = town.hold(x)
    town.deliver(late)
    town.pass(x)
    town.deliver(deletion)
  })

  scenario('collision_delayed_request_more', (scene) => {
    const { town, x, y } = scene
    const late = delayedRequest(scene, rekey)
    town.pass(x)
    town.pass(y)
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
      const late = town.wire.some(({ from }) => from === y) ? town.hold(y) : undefined
      town.deliver(answerY)
      town.settle()
      if (late !== undefined) town.deliver(late)
    },
    disagreeing,
  )

  ending('collision_delete', (scene) => {
    const { town, x, y } = scene
    rekey(town, x)
    close(town, y)
    cross(scene)
  })

  ending('collision_delete_drop_rekey', ({ town, x, y }) => {
    rekey(town, x)
    const late = town.hold(x)
    close(town, y)
    town.pass(y)
    town.settle()
    town.deliver(late)
  })
})

describe('ike_delete', () => {
  ending('collision', (scene) => collide(scene, close))

  ending('drop_delete', ({ town, x }) => {
    close(town, x)
    town.hold(x)
  })
})
