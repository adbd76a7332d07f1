import assert from 'node:assert/strict'
import test from 'node:test'
import { peerKeysOf } from '#broker/registry/principal.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { silentLog } from '#shared/platform/log.ts'
import { openDatabase } from '#shared/platform/sqlite.ts'
import { openRegistry, type RegistryFixture, randomHex } from '#test/broker/registry/registry-fixture.ts'

const certificate = (fixture: RegistryFixture, spki = randomHex(32)) => ({
  issuerHex: 'aa',
  serialHex: randomHex(16),
  spkiSha256Hex: spki,
  der: Uint8Array.of(1),
  notBefore: fixture.clock.ms,
  notAfter: fixture.clock.ms + 1_000,
})
const psk = () => ({ psk: nativeSuite.random(32) })

test('a peer with a certificate: found by its key, admitted until its certificate ends, whole after a restart', async () => {
  const fixture = await openRegistry()
  const spki = randomHex(32)
  const added = await fixture.registry.ipsecPeers.add({
    name: 'Plant-A',
    proof: { certificate: certificate(fixture, spki) },
    subnets: ['192.168.1.0/24', '2001:DB8::/64', '192.168.1.0/24'],
    ikeProposals: ['aes256-sha256-x25519'],
    espProposals: ['aes256-sha256-x25519', 'aes256gcm16'],
    tags: ['plant'],
  })
  assert.deepEqual(
    [added.name, added.kind, added.stock, added.subnets, added.tags, added.tunnelKey, added.addresses.length],
    ['plant-a', 'device', true, ['192.168.1.0/24', '2001:db8::/64'], ['plant'], undefined, 2],
  )
  assert.deepEqual(added.ipsec, {
    pskKey: undefined,
    identity: 'CN=plant-a',
    ikeProposals: ['aes256-sha256-x25519'],
    espProposals: ['aes256-sha256-x25519', 'aes256gcm16'],
  })
  for (const open of [() => fixture.registry, () => fixture.reopen()]) {
    const registry = await open()
    const { directory } = registry
    assert.deepEqual(directory.byPeerKey(spki), added)
    assert.deepEqual(peerKeysOf(added), [spki])
    assert.deepEqual([...directory.sites()], [added])
    assert.equal(directory.isAdmitted(added, fixture.clock.ms + 999), true)
    assert.equal(directory.isAdmitted(added, fixture.clock.ms + 1_000), false)
    assert.equal(directory.byIkeIdentity('CN=plant-a'), undefined, 'only those with a secret are found by what they claim')
    assert.equal(registry.peerSecrets.pskOf(added.id), undefined)
    assert.equal((await registry.certificates.list(added.id)).length, 1)
  }
  await fixture.end()
})

test('a peer with a pre-shared key: found by its identity and by a key of its own; the secret is beside the principal, and ends with it', async () => {
  const fixture = await openRegistry()
  const secret = nativeSuite.random(32)
  const ppk = { id: 'ppk-a', key: nativeSuite.random(32) }
  const added = await fixture.registry.ipsecPeers.add({
    name: 'rtr',
    identity: 'RTR.example',
    proof: { psk: secret.slice() },
    ppk,
  })
  const key = added.ipsec?.pskKey ?? ''
  assert.match(key, /^[0-9a-f]{64}$/)
  assert.equal(JSON.stringify(added).includes(Buffer.from(secret).toString('hex')), false)
  for (const registry of [fixture.registry, await fixture.reopen()]) {
    assert.equal(registry.directory.byIkeIdentity('rtr.EXAMPLE')?.id, added.id)
    assert.equal(registry.directory.byPeerKey(key)?.id, added.id)
    assert.deepEqual(peerKeysOf(added), [key])
    assert.deepEqual(registry.peerSecrets.pskOf(added.id), secret)
    assert.deepEqual(registry.peerSecrets.ppkOf(added.id)?.id, 'ppk-a')
    assert.equal(registry.peerSecrets.ownerOfPpk('ppk-a'), added.id)
    assert.equal(registry.directory.isAdmitted(added, Number.MAX_SAFE_INTEGER), true)
  }
  const { registry } = fixture
  await assert.rejects(registry.ipsecPeers.add({ name: 'rtr2', identity: 'rtr.example', proof: psk() }), {
    code: 'name-taken',
    message: /rtr\.example is that of device rtr already/,
  })
  await registry.devices.revoke('rtr')
  for (const after of [registry, await fixture.reopen()]) {
    assert.equal(after.peerSecrets.pskOf(added.id), undefined)
    assert.equal(after.peerSecrets.ppkOf(added.id), undefined)
    assert.equal(after.peerSecrets.ownerOfPpk('ppk-a'), undefined)
    assert.notEqual(after.directory.byIkeIdentity('rtr.example')?.revokedAt, undefined)
  }
  const heir = await fixture.registry.ipsecPeers.add({ name: 'rtr2', identity: 'rtr.example', proof: psk() })
  assert.equal(fixture.registry.directory.byIkeIdentity('rtr.example')?.id, heir.id)
  assert.notEqual(heir.ipsec?.pskKey, key)
  const audit = await fixture.registry.audit.query({})
  assert.deepEqual(audit[0]?.detail, { ipsec: 'psk', identity: 'rtr.example', addresses: added.addresses })
  await fixture.end()
})

test('subnets are exclusive: an overlap is refused with both names, one of a revoked peer is free', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const add = (name: string, ...subnets: string[]) => registry.ipsecPeers.add({ name, proof: psk(), subnets })
  await add('west', '192.168.1.0/24', '10.1.0.0/16')
  for (const overlapping of ['192.168.1.0/24', '192.168.0.0/16', '192.168.1.128/25', '10.1.255.255/32', '10.0.0.0/8']) {
    await assert.rejects(add('east', overlapping), (error: Error & { code: string; mend: string }) => {
      assert.equal(error.code, 'subnet-taken')
      assert.ok(error.message.includes(`${overlapping} of east`) && error.message.includes('of device west'), error.message)
      assert.match(error.mend, /device revoke west/)
      return true
    })
  }
  assert.throws(() => registry.devices.get('east'), { code: 'device-unknown' }, 'nothing is left of a refused one')
  await add('east', '192.168.2.0/24')
  await registry.devices.revoke('west')
  const heir = await add('north', '192.168.1.0/24')
  assert.deepEqual(
    [...registry.directory.sites()].map(({ name }) => name),
    ['east', heir.name],
  )
  const both = await Promise.allSettled([add('one', '172.16.0.0/12'), add('two', '172.16.5.0/24')])
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  await fixture.end()
})

test('networks that cannot lie behind a peer are refused with the reason', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const prefix = registry.fleet.prefix
  const table: [subnets: string[], code: string, message: RegExp][] = [
    [['192.168.1.5/24'], 'usage', /address in a network/],
    [['192.168.1.0'], 'usage', /no network/],
    [['192.168.1.0/33'], 'usage', /no network/],
    [['here\u001b[2J/8'], 'usage', /here\\u\{1b\}\[2J\/8/],
    [['0.0.0.0/0'], 'usage', /every address/],
    [['::/0'], 'usage', /every address/],
    [['127.64.0.0/10'], 'usage', /loopback/],
    [['169.254.0.0/16'], 'usage', /link-local/],
    [['239.0.0.0/8'], 'usage', /multicast/],
    [['fe80::/64'], 'usage', /link-local/],
    [['10.0.0.0/8', '10.1.0.0/16'], 'usage', /overlap/],
    [Array.from({ length: 65 }, (_, n) => `10.${n}.0.0/16`), 'usage', /too many/],
    [['100.64.7.0/24'], 'subnet-taken', /100\.64\.0\.0\/10.*fleet's own/],
    [['100.0.0.0/8'], 'subnet-taken', /fleet's own/],
    [[prefix.replace('::/48', ':5::/64')], 'subnet-taken', /fleet's own/],
    [['fc00::/7'], 'subnet-taken', /fleet's own/],
  ]
  for (const [subnets, code, message] of table) {
    await assert.rejects(registry.ipsecPeers.add({ name: 'x', proof: psk(), subnets }), { code, message }, subnets.join())
  }
  for (const bad of [
    { name: 'x', proof: { psk: nativeSuite.random(15) } },
    { name: 'x', proof: psk(), identity: 'a b' },
    { name: 'x', proof: psk(), ppk: { id: 'p', key: nativeSuite.random(8) } },
  ]) {
    await assert.rejects(registry.ipsecPeers.add(bad), { code: 'usage' })
  }
  await fixture.end()
})

test('a key that is enrolled already is nobody’s second', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const spki = randomHex(32)
  await registry.ipsecPeers.add({ name: 'one', proof: { certificate: certificate(fixture, spki) } })
  const again = (name: string) => registry.ipsecPeers.add({ name, proof: { certificate: certificate(fixture, spki) } })
  await assert.rejects(again('two'), { code: 'already-enrolled' })
  await assert.rejects(registry.ipsecPeers.add({ name: 'one', proof: psk() }), { code: 'name-taken' })
  await registry.devices.revoke('one')
  await assert.rejects(again('two'), { code: 'revoked' })
  await fixture.end()
})

test('no secret of a peer outlives its revocation in the table', async () => {
  const fixture = await openRegistry()
  await fixture.registry.ipsecPeers.add({ name: 'rtr', proof: psk() })
  await fixture.registry.devices.revoke('rtr')
  await fixture.registry.close()
  const database = await openDatabase(`${fixture.folder}/adit.db`)
  assert.deepEqual(await database.read('SELECT psk, ppk FROM ipsec_peers'), [{ psk: null, ppk: null }])
  await database.close()
  fixture.registry = await Registry.open(fixture.folder, { clock: fixture.clock, suite: nativeSuite, log: silentLog })
  await fixture.end()
})
