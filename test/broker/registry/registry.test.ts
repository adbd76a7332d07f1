import assert from 'node:assert/strict'
import test from 'node:test'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { silentLog } from '#shared/platform/log.ts'
import { openDatabase } from '#shared/platform/sqlite.ts'
import { ManualClock, openRegistry, randomHex, randomKeys } from '#test/broker/registry/registry-fixture.ts'

test('addresses: one fleet prefix for life, 80 bits of the first key, IPv4 in order, kept when keys change', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  assert.match(registry.fleet.prefix, /^fd[0-9a-f]{2}:[0-9a-f:]+::\/48$/)
  assert.deepEqual(registry.fleet.broker[1], '100.64.0.1')
  const { summary, secret } = await registry.claims.create({ role: 'device', name: 'pi' })
  const keys = { spkiSha256: '0102030405060708090a'.padEnd(64, 'f'), tunnelKey: randomHex(32) }
  const { principal } = await registry.claims.redeem({ id: summary.id, secret, ...keys })
  const site = registry.fleet.prefix.replace('::/48', '')
  assert.deepEqual(principal.addresses, [`${site}:102:304:506:708:90a`, '100.64.0.2'])
  assert.equal(registry.directory.isAdmitted(principal, clock.ms), false, 'no certificate yet')

  const record = (change: object) =>
    registry.certificates.record({
      principalId: principal.id,
      issuerHex: 'aa',
      serialHex: randomHex(16),
      spkiSha256Hex: keys.spkiSha256,
      tunnelKey: keys.tunnelKey,
      der: Uint8Array.of(1),
      notBefore: clock.ms,
      notAfter: clock.ms + 1_000,
      ...change,
    })
  await record({ right: `claim:${summary.id}` })
  assert.equal(registry.directory.isAdmitted(registry.devices.get('pi'), clock.ms), true)
  const renewed = randomKeys()
  await record({ spkiSha256Hex: renewed.spkiSha256, tunnelKey: renewed.tunnelKey, notAfter: clock.ms + 9_000 })
  const after = registry.devices.get('PI')
  assert.deepEqual(after.addresses, principal.addresses)
  assert.equal(registry.directory.byTunnelKey(keys.tunnelKey), undefined, 'the old tunnel key is out')
  assert.equal(registry.directory.byTunnelKey(renewed.tunnelKey)?.id, principal.id)
  assert.equal(registry.directory.bySpki(renewed.spkiSha256)?.id, principal.id)
  assert.equal(registry.directory.byAddress('100.64.0.2')?.id, principal.id)

  const second = await registry.devices.addWireguard({ name: 'two', tunnelKey: randomHex(32) })
  assert.equal(second.addresses[1], '100.64.0.3')
  await assert.rejects(registry.devices.addWireguard({ name: 'three', tunnelKey: keys.tunnelKey }), { code: 'request-refused' })
  const prefix = registry.fleet.prefix
  const reopened = await fixture.reopen()
  assert.equal(reopened.fleet.prefix, prefix)
  assert.deepEqual(reopened.devices.get('pi'), after)
  await fixture.end()
})

test('no IPv4 is taken from a network that the machine is on', async () => {
  const partly = await openRegistry({ underlay: ['100.64.0.2/31', '10.0.0.1/8'] })
  const device = await partly.registry.devices.addWireguard({ name: 'a', tunnelKey: randomHex(32) })
  assert.equal(device.addresses[1], '100.64.0.4')
  await partly.end()
  const wholly = await openRegistry({ underlay: ['100.64.0.9/10'] })
  assert.equal(wholly.registry.fleet.broker.length, 1)
  assert.deepEqual(wholly.registry.fleet.routes, [wholly.registry.fleet.prefix])
  assert.equal((await wholly.registry.devices.addWireguard({ name: 'a', tunnelKey: randomHex(32) })).addresses.length, 1)
  await wholly.end()
})

test('revocation reaches the principal, its keys and its certificates, and is told after the commit', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const told: string[] = []
  registry.onChange((change) => told.push('principal' in change ? `${change.kind} ${change.principal.name}` : change.kind))
  const { summary, secret } = await registry.claims.create({ role: 'device', name: 'pi' })
  const keys = randomKeys()
  const { principal } = await registry.claims.redeem({ id: summary.id, secret, ...keys })
  const certificate = {
    principalId: principal.id,
    issuerHex: 'aa',
    serialHex: '01',
    spkiSha256Hex: keys.spkiSha256,
    der: Uint8Array.of(1),
    notBefore: clock.ms,
    notAfter: clock.ms + 1_000,
  }
  await registry.certificates.record(certificate)
  assert.equal(registry.certificates.isRevoked(certificate), false)
  const revoked = await registry.devices.revoke('pi')
  assert.equal(registry.directory.isAdmitted(revoked, clock.ms), false)
  assert.equal(registry.certificates.isRevoked({ ...certificate, serialHex: '02' }), true, 'by key')
  await assert.rejects(registry.certificates.record({ ...certificate, serialHex: '03' }), { code: 'revoked' })
  await registry.devices.revoke('pi')
  assert.deepEqual(told, ['added pi', 'changed pi', 'revoked pi'])
  const reopened = await fixture.reopen()
  assert.equal(reopened.certificates.isRevoked(certificate), true)
  await fixture.end()
})

test('one certificate revoked alone, by issuer and serial', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const { summary, secret } = await registry.claims.create({ role: 'device' })
  const keys = randomKeys()
  const { principal } = await registry.claims.redeem({ id: summary.id, secret, ...keys })
  const base = {
    principalId: principal.id,
    issuerHex: 'aa',
    spkiSha256Hex: keys.spkiSha256,
    der: Uint8Array.of(1),
    notBefore: clock.ms,
  }
  await registry.certificates.record({ ...base, serialHex: '01', notAfter: clock.ms + 1_000 })
  await registry.certificates.record({ ...base, serialHex: '02', notAfter: clock.ms + 2_000 })
  await registry.certificates.revoke('aa', '02')
  assert.equal(registry.certificates.isRevoked({ ...base, serialHex: '02' }), true)
  assert.equal(registry.certificates.isRevoked({ ...base, serialHex: '01' }), false)
  assert.equal(registry.directory.byId(principal.id)?.expiresAt, clock.ms + 1_000)
  await assert.rejects(registry.certificates.revoke('aa', '03'), { code: 'not-found' })
  assert.equal((await fixture.reopen()).certificates.isRevoked({ ...base, serialHex: '02' }), true)
  await fixture.end()
})

test('host keys: the first is pinned, a part is the same, another is a change until accepted', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const { id } = await registry.devices.addWireguard({ name: 'pi', tunnelKey: randomHex(32) })
  const { hostKeys } = registry
  assert.equal(await hostKeys.report(id, 'ssh', ['ssh-ed25519 A', 'ssh-rsa B']), 'pinned')
  assert.equal(await hostKeys.report(id, 'ssh', ['ssh-rsa B']), 'same')
  assert.equal(await hostKeys.report(id, 'ssh', ['ssh-ed25519 C']), 'changed')
  assert.deepEqual((await hostKeys.of(id))[0]?.keys, ['ssh-ed25519 A', 'ssh-rsa B'])
  assert.deepEqual((await hostKeys.of(id))[0]?.offered?.keys, ['ssh-ed25519 C'])
  await assert.rejects(hostKeys.accept(id, 'other'), { code: 'not-found' })
  assert.deepEqual((await hostKeys.accept(id))[0]?.keys, ['ssh-ed25519 C'])
  await assert.rejects(hostKeys.accept(id), { code: 'not-found' })
  assert.equal(await hostKeys.report(id, 'ssh', ['ssh-ed25519 C']), 'same')
  assert.equal(await hostKeys.report(id, 'ssh', ['ssh-ed25519 D']), 'changed')
  assert.equal(await hostKeys.report(id, 'ssh', ['ssh-ed25519 C']), 'same', 'changed back')
  assert.equal((await hostKeys.of(id))[0]?.offered, undefined)
  await fixture.end()
})

test('endpoints and timestamps outlive a restart; a timestamp never goes back', async () => {
  const fixture = await openRegistry()
  const { id } = await fixture.registry.devices.addWireguard({ name: 'pi', tunnelKey: randomHex(32) })
  const key = randomHex(32)
  const stamp = (n: number): Uint8Array => Uint8Array.of(0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n)
  const first = { principalId: id, endpoint: '[::1]:7', lastAuthentic: 5, upSince: 4, suite: 'noise' } as const
  const last = { ...first, endpoint: '1.2.3.4:8', lastAuthentic: 9, suite: 'esp' } as const
  await fixture.registry.presence.saveEndpoints([first])
  await fixture.registry.presence.saveEndpoints([last])
  await fixture.registry.presence.saveTimestamps([{ tunnelKey: key, timestamp: stamp(7) }])
  await Promise.all([5, 9, 8].map((n) => fixture.registry.presence.saveTimestamps([{ tunnelKey: key, timestamp: stamp(n) }])))
  const { presence } = await fixture.reopen()
  assert.deepEqual(await presence.loadEndpoints(), [last])
  assert.deepEqual(await presence.loadTimestamps(), [{ tunnelKey: key, timestamp: stamp(9) }])
  await fixture.end()
})

test('audit is append-only, and shows an operator what concerns its devices and itself', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const a = await registry.devices.addWireguard({ name: 'a', tunnelKey: randomHex(32) })
  const b = await registry.devices.addWireguard({ name: 'b', tunnelKey: randomHex(32) })
  await Promise.all([
    registry.audit.append({
      actor: 'operator:ann',
      action: 'session.open',
      subject: 'device:a',
      deviceId: a.id,
      detail: { port: 22 },
    }),
    registry.audit.append({ actor: 'operator:bob', action: 'flow.refused', subject: 'device:b', deviceId: b.id }),
    registry.audit.append({ actor: 'operator:ann', action: 'login', subject: 'broker' }),
  ])
  const visible = await registry.audit.query({ visibleTo: { deviceIds: [a.id], actor: 'operator:ann' } })
  assert.deepEqual(
    visible.map(({ action }) => action),
    ['device.add', 'session.open', 'login'],
  )
  assert.deepEqual(visible[1]?.detail, { port: 22 })
  const newest = await registry.audit.query({ newest: true, limit: 2 })
  assert.deepEqual(
    newest.map(({ id }) => id),
    [4, 5],
  )
  assert.deepEqual(
    (await registry.audit.query({ after: 4 })).map(({ id }) => id),
    [5],
  )
  await registry.close()
  const database = await openDatabase(`${fixture.folder}/adit.db`)
  await assert.rejects(database.write('UPDATE audit SET actor = ?', ['x']), { message: /append-only/ })
  await assert.rejects(database.write('DELETE FROM audit'), { message: /append-only/ })
  await database.close()
  await fixture.end()
})

test('a registry that a younger program has changed is refused in a sentence', async () => {
  const fixture = await openRegistry()
  await fixture.registry.close()
  const database = await openDatabase(`${fixture.folder}/adit.db`)
  await database.write("UPDATE kysely_migration SET name = '9999-future' WHERE name = (SELECT max(name) FROM kysely_migration)")
  await database.close()
  const ports = { clock: new ManualClock(), suite: nativeSuite, log: silentLog }
  await assert.rejects(Registry.open(fixture.folder, ports), { code: 'storage-failed', message: /schema/ })
  await fixture.end()
})
