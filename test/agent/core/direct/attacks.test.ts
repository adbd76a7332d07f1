import assert from 'node:assert/strict'
import { test } from 'node:test'
import { directTarget } from '#agent/core/direct/direct-target.ts'
import { encodeIntroduction } from '#agent/core/direct/introduction.ts'
import { Letters } from '#agent/core/direct/letter.ts'
import { overlayPacket } from '#agent/core/direct/overlay-packet.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { isAditError } from '#shared/errors.ts'
import { signStatement } from '#shared/fleet/statement.ts'
import { wallTime } from '#shared/time/instant.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { fleetKey, otherKey, peersAndGrant, RunningStream, type Scene, scene, statementsFor } from './direct-world.ts'

const easy = { device: 'port-restricted', operator: 'port-restricted' } as const

function up(place: Scene): Scene {
  const { world, operator, device } = place
  assert.ok(world.run(5_000, () => operator.core.state === 'up' && device.core.state === 'up'))
  world.run(500)
  return place
}

function direct(place: Scene): Scene {
  up(place).operator.core.direct!.seek(place.target())
  const { world, operator, device } = place
  assert.ok(world.run(5_000, () => operator.path('pi') === 'reflexive' && device.path('ann') === 'reflexive'))
  return place
}

test('A-79 a broker that lies about the device’s key, signed by itself, is refused by the operator', () => {
  const place = up(scene(easy))
  const { world, device, operator } = place
  const forged = statementsFor(world, device, operator, {}, otherKey)
  assert.throws(
    () => place.target(forged),
    (error) => isAditError(error) && error.code === 'statement-refused',
  )
  // Its own key in the place of the device's, in otherwise sound company.
  const [ann, pi, grant] = peersAndGrant(world, device, operator)
  const swapped = signStatement({ ...pi!, tunnelKey: otherKey.publicKey } as typeof pi & object, { suite, pair: otherKey })
  const sound = [ann!, grant!].map((statement) => signStatement(statement, { suite, pair: fleetKey }))
  assert.throws(() => place.target([...sound, swapped]), /statement/i)
})

test('A-92 a broker that opens more ports than were signed opens nothing; an expired grant neither', () => {
  const place = up(scene(easy))
  const { world, device, operator } = place
  const [ann, pi] = statementsFor(world, device, operator)
  const wide = statementsFor(world, device, operator, { ports: [{ from: 1, to: 65_535 }] }, otherKey)[2]!
  const late = statementsFor(world, device, operator, {
    notAfter: wallTime(world.wall() - 1) as never,
    notBefore: wallTime(world.wall() - 5_000) as never,
  })[2]!
  for (const grant of [wide, late])
    assert.throws(
      () =>
        directTarget('pi', [ann!, pi!, grant], { own: operator.key.publicKey, judge: (bytes) => operator.ledger.judge(bytes) }),
      (error) => isAditError(error) && error.code === 'statement-refused',
    )
})

test('strangers’ letters get no answer; unsigned introductions neither; all are counted', () => {
  const place = up(scene(easy))
  const { world, device, operator } = place
  const stranger = suite.x25519.generate()
  const at = { address: '198.51.100.77', port: 5_000 }
  let answers = 0
  world.add(at, { receive: () => answers++, expire: () => {}, deadline: () => undefined })
  const counter = new Uint8Array(12).fill(9)
  const introduce = (key: typeof stranger, statements: readonly Uint8Array[]): void => {
    const payload = encodeIntroduction({ kind: 'introduction', nonce: new Uint8Array(8), counter, statements, candidates: [] })
    device.receive(new Letters(suite, key).write(device.key.publicKey, payload)!, at)
  }
  introduce(stranger, [])
  introduce(stranger, place.statements)
  introduce(stranger, statementsFor(world, device, operator, {}, otherKey))
  device.receive(new Letters(suite, stranger).write(operator.key.publicKey, new Uint8Array(30))!, at)
  world.run(1_000)
  assert.equal(answers, 0)
  assert.equal(device.core.direct!.size, 0)
  assert.equal(device.core.direct!.counters.of(DropReason.UnknownPeer), 3)
  assert.equal(device.core.direct!.counters.of(DropReason.Unauthentic), 1)
})

test('P-02 A-13 whatever an attacker on the path replays, from wherever: nothing moves, nothing is taken twice', () => {
  const place = direct(scene(easy))
  const { world, operator, device } = place
  const sent = operator.sent.slice()
  const association = [...device.core.direct!.peers()][0]!.association
  const [endpoint, opened] = [device.path('ann'), association.counters.innerReceived]
  for (const { bytes } of sent) {
    device.receive(bytes, { address: '198.51.100.66', port: 6_666 })
    device.receive(bytes, { address: '203.0.113.2', port: 7_777 })
  }
  world.run(3_000)
  assert.equal(device.path('ann'), endpoint)
  // What was lost on its way is authentic when the attacker brings it: it is answered in kind, and moves nothing.
  const brought = sent.reduce((sum, { bytes }) => sum + bytes.length, 0)
  const answered = device.sent
    .filter(({ to }) => to.address === '198.51.100.66')
    .reduce((sum, { bytes }) => sum + bytes.length, 0)
  assert.ok(answered <= brought, `${answered} bytes for ${brought}`)
  // Two lost probes of full length, and what is small.
  assert.ok(association.counters.innerReceived - opened < 4_000)
  assert.equal(device.core.direct!.size, 1)
})

test('P-30 an operator speaks from its own address and to granted ports alone, whatever it seals', () => {
  const place = direct(scene(easy))
  const { operator, device } = place
  const peer = [...operator.core.direct!.peers()][0]!
  const before = device.core.direct!.counters.of(DropReason.InnerSourceRefused)
  const out = new Uint8Array(2_000)
  const foreign = overlayPacket(
    { source: parseAddress('fd00:adad::5'), destination: parseAddress(device.inner) },
    new Uint8Array(30),
  )
  const length = peer.association.seal(foreign, foreign.length, out, place.world.now())
  device.receive(out.slice(0, length), peer.association.endpoint!)
  assert.equal(device.core.direct!.counters.of(DropReason.InnerSourceRefused), before + 1)
  let accepted = 0
  device.core.netstack.listen({ port: 23 }, () => accepted++)
  operator.core.netstack.connect({ address: device.inner, port: 23 }).on('error', () => {})
  place.world.run(3_000)
  assert.equal(accepted, 0)
  assert.ok(device.core.direct!.counters.of(DropReason.FilterRefused) > 0)
})

test('a grant that ends cuts a running connection within a second; so does one that was withdrawn', async () => {
  for (const how of ['ends', 'withdrawn'] as const) {
    const place = up(scene(easy))
    const { world, device, operator } = place
    const change = how === 'ends' ? { notAfter: wallTime(world.wall() + 6_000) as never } : {}
    const statements = statementsFor(world, device, operator, change)
    operator.core.direct!.seek(place.target(statements))
    assert.ok(world.run(3_000, () => operator.path('pi') === 'reflexive' && device.path('ann') === 'reflexive'))
    const stream = new RunningStream(place)
    assert.ok((await stream.flow(1_000)) > 10_000, how)
    if (how === 'ends') world.run(Math.max(0, 6_000))
    else {
      const [, , grant] = peersAndGrant(world, device, operator)
      const { fleet, notBefore, notAfter } = grant!
      const withdrawal = { kind: 'withdrawal', fleet, version: 9, notBefore, notAfter, of: 'grant', subject: '1' } as const
      device.ledger.take(signStatement(withdrawal, { suite, pair: fleetKey }))
      device.core.direct!.recheck()
    }
    await stream.flow(1_000)
    assert.equal(device.core.direct!.size, 0, how)
    assert.equal(stream.closed, true, how)
  }
})

test('a grant that ends while nothing of the device comes through any more: the operator’s end closes by itself', async () => {
  const place = up(scene(easy))
  const { world, device, operator, broker } = place
  device.strict = operator.strict = true
  const until = wallTime(world.wall() + 8_000)
  operator.core.direct!.seek(place.target(statementsFor(world, device, operator, { notAfter: until })), 'relay')
  assert.ok(world.run(3_000, () => operator.path('pi') === 'relay'))
  const stream = new RunningStream(place)
  assert.ok((await stream.flow(1_000)) > 10_000)
  broker.sees = () => world.wall() < until - 100
  await stream.flow(until - world.wall() - 200)
  assert.equal(stream.closed, false)
  await stream.flow(1_000)
  assert.equal(stream.closed, true)
  assert.deepEqual(operator.events.findLast(({ kind }) => kind === 'closed')?.kind, 'closed')
  assert.equal(operator.core.direct!.size, 0)
})

test('the broker dead, both on one LAN: a new process of the operator meets the device at its last known place', () => {
  const place = up(scene({ ...easy, oneLan: true }))
  const { world, broker, operator, device } = place
  broker.isDead = true
  assert.ok(world.run(400_000, () => operator.core.state === 'connecting'))
  const from = world.now()
  operator.core.direct!.seek(place.target(), 'auto', [{ kind: 'host', endpoint: device.at }])
  assert.ok(world.run(5_000, () => operator.path('pi') === 'host' && device.path('ann') === 'host'))
  assert.ok(world.now() - from < 1_000, `${world.now() - from} ms`)
  assert.equal(toHex([...device.core.direct!.peers()][0]!.association.publicKey), toHex(operator.key.publicKey))
})
