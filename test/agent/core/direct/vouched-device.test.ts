import assert from 'node:assert/strict'
import { test } from 'node:test'
import { directTarget } from '#agent/core/direct/direct-target.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { isAditError } from '#shared/errors.ts'
import { type DelegationStatement, type PeerStatement, signStatement } from '#shared/fleet/statement.ts'
import { fleet, fleetKey, otherKey, peersAndGrant, type Scene, scene } from './direct-world.ts'

/** A device that a station has made: `otherKey` is the station's. In the order in which a broker might hand them out. */
function vouched({ world, device, operator }: Scene) {
  const [ann, pi, grant] = peersAndGrant(world, device, operator)
  const pump = { ...pi, name: 'pump-7' } as PeerStatement
  const { version, notBefore, notAfter } = pump
  const delegation: DelegationStatement = {
    ...{ fleet, version, notBefore, notAfter },
    kind: 'delegation',
    id: 'a1',
    station: 'line-1',
    key: otherKey.publicKey,
    names: 'pump-{n}',
    first: 1,
    last: 9,
    tags: ['pumps'],
  }
  const sign = (statement: typeof ann & object, pair = fleetKey) => signStatement(statement, { suite, pair })
  return {
    ann: sign(ann!),
    grant: sign(grant!),
    delegation: sign(delegation),
    pump: sign(pump, otherKey),
    withdrawal: sign({ ...{ fleet, notBefore, notAfter }, kind: 'withdrawal', of: 'delegation', subject: 'a1', version: 6 }),
  }
}

const targetOf = ({ operator }: Scene, statements: readonly Uint8Array[]) =>
  directTarget('pump-7', statements, {
    own: operator.key.publicKey,
    judge: (bytes, beside) => operator.ledger.judge(bytes, beside),
  })

function upScene(): Scene {
  const place = scene({ device: 'port-restricted', operator: 'port-restricted' })
  const { world, operator, device } = place
  assert.ok(world.run(5_000, () => operator.core.state === 'up' && device.core.state === 'up'))
  world.run(500)
  return place
}

test('D6 a device believes by what it is shown that a station vouches for it, which no broker has told it yet', () => {
  const place = upScene()
  const { world, operator, device } = place
  const { ann, grant, delegation, pump } = vouched(place)
  const target = targetOf(place, [pump, ann, grant, delegation])
  assert.equal(target.statements.length, 4, 'the delegation is shown too')
  operator.core.direct!.seek(target)
  assert.ok(world.run(5_000, () => operator.path('pump-7') === 'reflexive' && device.path('ann') === 'reflexive'))
  const socket = operator.core.netstack.connect({ address: device.inner, port: 22 })
  socket.on('error', () => {})
  operator.core.direct!.leave('pump-7', 'withdrawn')
  assert.ok(socket.destroyed, 'what was said inside the association goes on nowhere else')
})

test('D6 an operator believes no station without its delegation, and a device none that it knows to be withdrawn', () => {
  const place = upScene()
  const { world, operator, device } = place
  const { ann, grant, delegation, pump, withdrawal } = vouched(place)
  const isRefused = (error: unknown): boolean => isAditError(error) && error.code === 'statement-refused'
  assert.throws(() => targetOf(place, [pump, ann, grant]), isRefused)
  const target = targetOf(place, [pump, ann, grant, delegation])
  device.ledger.take(withdrawal)
  operator.core.direct!.seek(target)
  world.run(5_000)
  assert.deepEqual([operator.path('pump-7'), device.path('ann')], [undefined, undefined])
  assert.match(operator.core.direct!.status('pump-7')?.why?.text ?? '', /./)
})
