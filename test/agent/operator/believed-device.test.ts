import assert from 'node:assert/strict'
import test from 'node:test'
import { FleetTrust } from '#agent/core/fleet-trust.ts'
import { believedDevice } from '#agent/operator/believed-device.ts'
import type { Device } from '#agent/operator/operator-api.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { isAditError } from '#shared/errors.ts'
import { type Statement, signStatement } from '#shared/fleet/statement.ts'
import { wallTime } from '#shared/time/instant.ts'

const pair = suite.ed25519.pair(new Uint8Array(32).fill(7))
const thief = suite.ed25519.pair(new Uint8Array(32).fill(8))
const fleet = suite.hash('sha256', Buffer.from('root'))
const now = wallTime(1_790_000_000_000)
const scope = { fleet, version: 5, notBefore: wallTime(now - 1000), notAfter: wallTime(now + 1000) }
const tunnelKey = new Uint8Array(32).fill(3)
const peer: Statement = {
  ...scope,
  kind: 'peer',
  id: 'dd',
  name: 'pump',
  role: 'device',
  tunnelKey,
  addresses: ['fd00::7', '100.64.0.7'],
  tags: [],
  groups: [],
}
const hostKeys: Statement = { ...scope, kind: 'host-keys', device: 'dd', service: 'ssh', keys: ['ssh-ed25519 AAAA'] }
const sign = (statement: Statement, by = pair) => Buffer.from(signStatement(statement, { suite, pair: by })).toString('base64')

const device: Device = {
  id: 'dd',
  name: 'pump',
  state: 'up',
  since: null,
  evidenceAgeSeconds: 1,
  addresses: ['fd00::7'],
  tags: [],
  hostKeys: { ssh: { keys: ['ssh-ed25519 AAAA'], changed: null } },
  endpoint: null,
  ports: [],
  stock: false,
  tunnelKey: Buffer.from(tunnelKey).toString('base64'),
  statements: [sign(peer), sign(hostKeys)],
}

function believer(pinned: Uint8Array | null = pair.publicKey) {
  const trust = new FleetTrust({ suite, fleet, tunnelKey: new Uint8Array(32), time: () => now })
  if (pinned) trust.pin(pinned)
  return { trust, learn: (statements: readonly Uint8Array[]) => trust.learn(statements) }
}

const doubt = (changed: Partial<Device>, why: RegExp, by = believer()) =>
  assert.throws(
    () => believedDevice({ ...device, ...changed }, by),
    (error) => isAditError(error) && error.code === 'statement-refused' && why.test(error.message),
    String(why),
  )

test('what was signed is believed, and its host keys are the signed ones', () => {
  const believed = believedDevice(device, believer())
  assert.deepEqual(believed.hostKeys, { ssh: { keys: ['ssh-ed25519 AAAA'], changed: null } })
  assert.equal(believed.hostKeysSigned, true)
})

test('A-79 every difference from what was signed is named', () => {
  doubt({ hostKeys: { ssh: { keys: ['ssh-ed25519 EVIL'], changed: null } } }, /its ssh host key is not the one that was signed/)
  doubt({ tunnelKey: Buffer.alloc(32, 9).toString('base64') }, /its tunnel key is not the one/)
  doubt({ tunnelKey: null }, /its tunnel key is not the one/)
  doubt({ addresses: ['fd00::7', 'fd00::bad'] }, /its address fd00::bad was not signed/)
  doubt({ id: 'ee' }, /another device than the one of that name/)
  doubt({ statements: [] }, /nothing that the fleet key has signed/)
  doubt({ statements: [sign(peer)] }, /its ssh host key is not signed yet/)
  doubt({ statements: [sign(peer, thief), sign(hostKeys, thief)] }, /does not count here/)
  doubt({ statements: [sign({ ...peer, notAfter: now }), sign(hostKeys)] }, /expired/)
})

test('a host key that the broker leaves out is known all the same, and none is taken at first sight', () => {
  assert.deepEqual(believedDevice({ ...device, hostKeys: {} }, believer()).hostKeys.ssh?.keys, ['ssh-ed25519 AAAA'])
  const bare = believedDevice({ ...device, hostKeys: {}, statements: [sign(peer)] }, believer())
  assert.deepEqual([bare.hostKeys, bare.hostKeysSigned], [{}, true])
})

test("D6 of a device that a station vouches for no host key of the broker is taken, but the device's own; a signed one stands", () => {
  const line = suite.ed25519.pair(new Uint8Array(32).fill(9))
  const delegation: Statement = {
    ...scope,
    kind: 'delegation',
    id: 'a1',
    station: 'line-1',
    key: line.publicKey,
    names: 'pump-{n}',
    first: 1,
    last: 9,
    tags: [],
  }
  const made = { ...peer, name: 'pump-7' } as Statement
  const offered = { ...device, name: 'pump-7', hostKeys: { ssh: { keys: ['ssh-ed25519 EVIL'], changed: null } } }
  const statements = [sign(made, line), sign(delegation)]
  const believed = believedDevice({ ...offered, statements }, believer())
  assert.deepEqual([believed.hostKeys, believed.hostKeysSigned, believed.firstUseSealed], [{}, true, true])
  const signed = believedDevice({ ...offered, hostKeys: {}, statements: [sign(hostKeys), ...statements] }, believer())
  assert.deepEqual([signed.hostKeys.ssh?.keys, signed.firstUseSealed], [['ssh-ed25519 AAAA'], false])
  doubt({ ...offered, statements: [sign(hostKeys), ...statements] }, /its ssh host key is not the one that was signed/)
  doubt({ ...offered, statements: statements.slice(0, 1) }, /does not count here/)
  doubt({ ...offered, statements, tunnelKey: Buffer.alloc(32, 9).toString('base64') }, /its tunnel key is not the one/)
  // Who says so is we, and not the broker.
  assert.equal(believedDevice({ ...device, firstUseSealed: true }, believer()).firstUseSealed, false)
})

test('no rollback: what was seen signed is not undone by an older statement', () => {
  const by = believer()
  const newer = { ...device, hostKeys: { ssh: { keys: ['ssh-ed25519 NEW'], changed: null } } }
  const signed = sign({ ...hostKeys, version: 6, keys: ['ssh-ed25519 NEW'] })
  assert.deepEqual(believedDevice({ ...newer, statements: [sign(peer), signed] }, by).hostKeys.ssh?.keys, ['ssh-ed25519 NEW'])
  doubt({}, /is not the one that was signed/, by)
})

test('without a pin the broker is trusted, as it always was', () => {
  const changed = { ...device, addresses: ['fd00::bad'], statements: ['AAAA'] }
  assert.equal(believedDevice(changed, believer(null)), changed)
})

test('a stock WireGuard peer is not reached under a pinned key, and told so at once; a router without a tunnel key is', () => {
  const forbidden = (error: unknown): boolean =>
    isAditError(error) && error.code === 'forbidden' && /end to end/.test(error.message)
  const stock = { ...device, stock: true, hostKeys: {}, statements: [sign(peer)] }
  assert.throws(() => believedDevice(stock, believer()), forbidden)
  assert.equal(believedDevice(stock, believer(null)).name, 'pump', 'without a pin nothing has to be sealed')
  const { tunnelKey: _, ...keyless } = peer as typeof peer & { tunnelKey: Uint8Array }
  const router = { ...stock, tunnelKey: null, statements: [sign({ ...keyless, tunnelKey: undefined } as Statement)] }
  assert.equal(believedDevice(router, believer()).name, 'pump')
})
