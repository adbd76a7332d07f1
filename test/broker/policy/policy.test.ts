import assert from 'node:assert/strict'
import test from 'node:test'
import type { Grant } from '#broker/policy/grant.ts'
import { Policy } from '#broker/policy/policy.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { openRegistry, randomHex, randomKeys } from '#test/broker/registry/registry-fixture.ts'

const principal = (change: Partial<Principal>): Principal => ({
  id: 1,
  publicId: '00',
  kind: 'device',
  name: 'pi',
  tags: [],
  groups: [],
  admin: false,
  tunnelKey: undefined,
  identityKeys: [],
  addresses: [],
  createdAt: 0,
  stock: false,
  subnets: [],
  ...change,
})
const ann = principal({ kind: 'operator', name: 'ann' })
const bob = principal({ kind: 'operator', name: 'bob', groups: ['field'] })
const oslo = principal({ name: 'pi-oslo', tags: ['site:oslo'] })
const bergen = principal({ name: 'pi-bergen', tags: ['site:bergen'] })
const grant = (change: Partial<Grant>): Grant => ({
  id: 1,
  operators: [],
  groups: [],
  tags: [],
  devices: [],
  from: [],
  to: [],
  ports: [{ from: 22, to: 22 }],
  createdAt: 0,
  ...change,
})
const policyOf = (...grants: Grant[]): Policy => {
  const policy = new Policy()
  policy.replace(grants)
  return policy
}

test('without a grant nothing is permitted, to nobody', () => {
  const policy = policyOf()
  for (const asked of [22, 'telemetry', 'audit'] as const) assert.equal(policy.permits(ann, oslo, asked, 0), undefined)
})

test('a grant permits who, which devices, which ports, until when, and nothing beside', () => {
  const policy = policyOf(
    grant({ operators: ['ann'], tags: ['site:oslo'], until: 1_000 }),
    grant({ id: 2, groups: ['field'], devices: ['pi-bergen'], ports: [{ from: 8_000, to: 8_010 }] }),
  )
  const table: [Principal, Principal, number | 'telemetry' | 'audit', number, number | undefined][] = [
    [ann, oslo, 22, 0, 1],
    [ann, oslo, 22, 999, 1],
    [ann, oslo, 22, 1_000, undefined],
    [ann, oslo, 23, 0, undefined],
    [ann, oslo, 'telemetry', 0, 1],
    [ann, oslo, 'audit', 1_000, undefined],
    [ann, bergen, 22, 0, undefined],
    [bob, oslo, 22, 0, undefined],
    [bob, bergen, 8_000, 0, 2],
    [bob, bergen, 8_010, 0, 2],
    [bob, bergen, 8_011, 0, undefined],
    [bob, bergen, 22, 0, undefined],
  ]
  for (const [who, device, asked, now, expected] of table) {
    assert.equal(policy.permits(who, device, asked, now)?.grantId, expected, `${who.name} ${device.name} ${asked} at ${now}`)
  }
  assert.deepEqual(
    policy.grantsBetween(bob, bergen, 0).map(({ id }) => id),
    [2],
  )
})

test('device to device is closed even where a grant bears its name; operators are not reached either', () => {
  const policy = policyOf(grant({ operators: ['pi-oslo', 'ann'], tags: ['site:bergen'], devices: ['ann'] }))
  assert.equal(policy.permits(oslo, bergen, 22, 0), undefined)
  assert.equal(policy.permits(ann, principal({ kind: 'operator', name: 'ann' }), 22, 0), undefined)
})

test('an admin reads everything, and reaches ports by grant only', () => {
  const admin = principal({ kind: 'operator', name: 'root', admin: true })
  const policy = policyOf()
  assert.deepEqual(policy.permits(admin, oslo, 'telemetry', 0), {})
  assert.deepEqual(policy.permits(admin, oslo, 'audit', 0), {})
  assert.equal(policy.sees(admin, bergen, 0), true)
  assert.equal(policy.permits(admin, oslo, 22, 0), undefined)
})

test('the revoked are denied whatever is granted', () => {
  const policy = policyOf(grant({ operators: ['ann'], devices: ['pi-oslo'] }))
  assert.ok(policy.permits(ann, oslo, 22, 0))
  assert.equal(policy.permits({ ...ann, revokedAt: 1 }, oslo, 22, 2), undefined)
  assert.equal(policy.permits(ann, { ...oslo, revokedAt: 1 }, 22, 2), undefined)
})

test('grants act from the registry at once, and an heir of a revoked operator inherits none', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const changes: string[] = []
  registry.onChange((change) => changes.push(change.kind))
  const enrol = async () => {
    const { summary, secret } = await registry.claims.create({ role: 'operator', name: 'ann' })
    return (await registry.claims.redeem({ id: summary.id, secret, ...randomKeys() })).principal
  }
  const first = await enrol()
  const device = await registry.devices.addWireguard({ name: 'pi', tunnelKey: randomHex(32), tags: ['t'] })
  const target = { groups: [], tags: ['t'], devices: [], ports: [{ from: 22, to: 22 }] }
  const added = await registry.grants.add({ operators: ['Ann'], ...target })
  assert.equal(registry.policy.permits(first, device, 22, clock.ms)?.grantId, added.id)
  const parallel = await Promise.all(Array.from({ length: 8 }, () => registry.grants.add({ operators: ['ann'], ...target })))
  assert.equal(registry.policy.grantsBetween(first, device, clock.ms).length, 9)
  await Promise.all(parallel.map(({ id }) => registry.grants.revoke(id)))
  assert.equal(registry.policy.grantsBetween(first, device, clock.ms).length, 1)
  await registry.operators.revoke('ann')
  const heir = await enrol()
  assert.equal(registry.policy.permits(heir, device, 22, clock.ms), undefined)
  const reopened = await fixture.reopen()
  assert.equal(reopened.policy.permits(heir, device, 22, clock.ms), undefined)
  const untagged = await reopened.devices.tag('pi', ['u'], ['t'])
  assert.deepEqual(untagged.tags, ['u'])
  assert.deepEqual(changes.slice(0, 3), ['added', 'added', 'grants'])
  assert.ok(changes.includes('revoked'))
  for (const bad of [{ operators: [] }, { ports: [{ from: 0, to: 1 }] }, { tags: [] }]) {
    await assert.rejects(reopened.grants.add({ operators: ['a'], ...target, ...bad }), { code: 'usage' })
  }
  await fixture.end()
})

test('sites: a grant opens the hosts behind a device, to an operator or to another site, one way, and never the devices themselves', () => {
  const west = principal({ id: 1, name: 'west', subnets: ['192.168.1.0/24'] })
  const east = principal({ id: 2, name: 'east', subnets: ['192.168.2.0/24'] })
  const policy = policyOf(
    grant({ id: 1, from: ['west'], to: ['east'], ports: [{ from: 443, to: 443 }], until: 1_000 }),
    grant({ id: 2, from: ['west'], to: ['east'], ports: [{ from: 1, to: 500 }], until: 2_000 }),
    grant({ id: 3, operators: ['ann'], to: ['east'] }),
  )
  const table: [Principal, Principal, number | 'echo', number, number | undefined][] = [
    [west, east, 443, 0, 2],
    [west, east, 443, 1_500, 2],
    [west, east, 443, 2_000, undefined],
    [west, east, 501, 0, undefined],
    [west, east, 'echo', 0, 2],
    [east, west, 443, 0, undefined],
    [east, west, 'echo', 0, undefined],
    [west, west, 443, 0, undefined],
    [ann, east, 22, 0, 3],
    [ann, east, 443, 0, undefined],
    [ann, west, 22, 0, undefined],
    [bob, east, 22, 0, undefined],
    [oslo, east, 443, 0, undefined],
    [principal({ kind: 'operator', name: 'west' }), east, 443, 0, undefined],
    [{ ...west, revokedAt: 1 }, east, 443, 2, undefined],
    [west, { ...east, revokedAt: 1 }, 443, 2, undefined],
  ]
  for (const [who, site, asked, now, expected] of table) {
    assert.equal(policy.permitsBehind(who, site, asked, now)?.grantId, expected, `${who.name} ${site.name} ${asked} at ${now}`)
  }
  assert.equal(policy.permits(west, east, 443, 0), undefined, 'the router itself stays closed to devices')
  assert.equal(policy.permits(ann, east, 22, 0), undefined, 'and to who may reach what lies behind it')
  assert.equal(policy.sees(ann, east, 0), true)
  assert.deepEqual(policy.grantsBetween(ann, east, 0), [])
})

test('an operator’s grant to devices opens nothing behind them', () => {
  const site = principal({ id: 9, name: 'west', tags: ['t'], subnets: ['192.168.1.0/24'] })
  const policy = policyOf(grant({ operators: ['ann'], tags: ['t'], devices: ['west'], ports: [{ from: 1, to: 65_535 }] }))
  assert.ok(policy.permits(ann, site, 22, 0))
  assert.equal(policy.permitsBehind(ann, site, 22, 0), undefined)
  assert.equal(policy.permitsBehind(ann, site, 'echo', 0), undefined)
})

test('grants between sites: what is refused, and what a revoked site leaves to its heir', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const add = (name: string, subnet: string) =>
    registry.ipsecPeers.add({ name, proof: { psk: nativeSuite.random(32) }, subnets: [subnet] })
  const west = await add('west', '192.168.1.0/24')
  const east = await add('east', '192.168.2.0/24')
  const none = { operators: [], groups: [], tags: [], devices: [] }
  const all = [{ from: 1, to: 65_535 }]
  const added = await registry.grants.add({ ...none, from: ['West'], to: ['east'], ports: all })
  assert.deepEqual([added.from, added.to], [['west'], ['east']])
  assert.ok(registry.policy.permitsBehind(west, east, 80, clock.ms))
  const reopened = await fixture.reopen()
  assert.ok(reopened.policy.permitsBehind(west, east, 80, clock.ms))
  await reopened.devices.revoke('west')
  const heir = await reopened.ipsecPeers.add({
    name: 'west',
    proof: { psk: nativeSuite.random(32) },
    subnets: ['192.168.1.0/24'],
  })
  assert.equal(reopened.policy.permitsBehind(heir, east, 80, clock.ms), undefined)
  assert.deepEqual(await reopened.grants.list(), [])
  for (const bad of [
    { ...none, from: ['west'], to: [], ports: all },
    { ...none, from: [], to: ['east'], ports: all },
    { ...none, from: ['west'], to: ['east'], ports: [] },
    { ...none, operators: ['ann'], from: ['west'], to: ['east'], ports: all },
    { ...none, from: ['west'], to: ['east'], tags: ['t'], ports: all },
    { ...none, from: ['west'], devices: ['east'], ports: all },
  ]) {
    await assert.rejects(reopened.grants.add(bad), { code: 'usage' }, JSON.stringify(bad))
  }
  await fixture.end()
})
