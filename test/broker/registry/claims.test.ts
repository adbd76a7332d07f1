import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { Registry } from '#broker/registry/registry.ts'
import type { Redeemed } from '#broker/registry/right-uses.ts'
import { openRegistry, randomHex, randomKeys } from '#test/broker/registry/registry-fixture.ts'

const hour = 3_600_000

test('P-19 A-42 of 64 parallel redemptions of a one-use claim exactly one wins, many rounds', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  for (let round = 0; round < 25; round += 1) {
    const claim = await registry.claims.create({ role: 'device' })
    const { id } = claim.summary
    const results = await Promise.allSettled(
      Array.from({ length: 64 }, () => registry.claims.redeem({ id, secret: claim.secret, role: 'device', ...randomKeys() })),
    )
    const won = results.filter(({ status }) => status === 'fulfilled')
    assert.equal(won.length, 1, `round ${round}`)
    for (const result of results) if (result.status === 'rejected') assert.equal(result.reason.code, 'claim-used')
  }
  assert.equal(registry.devices.list().length, 25)
  await fixture.end()
})

test('A-46 a repeat with the same key burns nothing, and returns the certificate that was recorded first', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const { summary, secret } = await registry.claims.create({ role: 'device', name: 'pi-1' })
  const keys = randomKeys()
  const redeem = (): Promise<Redeemed> => registry.claims.redeem({ id: summary.id, secret, role: 'device', ...keys })
  const parallel = await Promise.all(Array.from({ length: 64 }, redeem))
  assert.equal(new Set(parallel.map(({ principal }) => principal.id)).size, 1)
  assert.equal(parallel.filter(({ repeated }) => !repeated).length, 1)
  assert.ok(parallel.every(({ certificate }) => certificate === undefined))

  const principalId = parallel[0]?.principal.id ?? 0
  const ders = await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      registry.certificates.record({
        principalId,
        issuerHex: 'aa',
        serialHex: `0${n}`,
        spkiSha256Hex: keys.spkiSha256,
        tunnelKey: keys.tunnelKey,
        der: Uint8Array.of(n),
        notBefore: fixture.clock.ms,
        notAfter: fixture.clock.ms + hour,
        right: `claim:${summary.id}`,
      }),
    ),
  )
  assert.equal(new Set(ders.map((der) => der[0])).size, 1, 'one certificate for one claim and key')
  assert.equal((await registry.certificates.list(principalId)).length, 1)
  await fixture.reopen()
  const again = await fixture.registry.claims.redeem({ id: summary.id, secret, role: 'device', ...keys })
  assert.deepEqual(again.certificate, ders[0])
  assert.equal((await fixture.registry.claims.list())[0]?.used, 1)
  await assert.rejects(fixture.registry.claims.redeem({ id: summary.id, secret, ...keys, tunnelKey: randomHex(32) }), {
    code: 'request-refused',
  })
  await fixture.end()
})

test('A-43 a live name is never given to another key, and the refused claim is not burnt', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  const first = await registry.claims.create({ role: 'device', name: 'pi-7' })
  const second = await registry.claims.create({ role: 'device', name: 'PI-7' })
  const { principal } = await registry.claims.redeem({ id: first.summary.id, secret: first.secret, ...randomKeys() })
  const attempt = (keys = randomKeys()) => registry.claims.redeem({ id: second.summary.id, secret: second.secret, ...keys })
  await assert.rejects(attempt(), { code: 'name-taken', mend: /device revoke pi-7/ })
  assert.equal(registry.directory.byName('device', 'pi-7')?.id, principal.id)
  await assert.rejects(registry.claims.create({ role: 'device', name: 'pi-7' }), { code: 'name-taken' })

  await registry.devices.revoke('pi-7')
  const revokedKey = principal.identityKeys[0] ?? ''
  await assert.rejects(attempt({ spkiSha256: revokedKey, tunnelKey: randomHex(32) }), { code: 'revoked' })
  const heir = await attempt()
  assert.notEqual(heir.principal.id, principal.id)
  assert.notDeepEqual(heir.principal.addresses, principal.addresses)
  assert.equal(registry.directory.byName('device', 'pi-7')?.id, heir.principal.id)
  await fixture.reopen()
  assert.equal(fixture.registry.directory.byName('device', 'pi-7')?.id, heir.principal.id)
  await fixture.end()
})

test('each refusal has its own code', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const redeem = (claim: Awaited<ReturnType<Registry['claims']['create']>>, change: object = {}): Promise<Redeemed> =>
    registry.claims.redeem({ id: claim.summary.id, secret: claim.secret, role: 'device', ...randomKeys(), ...change })
  const claim = await registry.claims.create({ role: 'device', ttl: hour })
  await assert.rejects(redeem(claim, { id: randomHex(8) }), { code: 'claim-unknown' })
  await assert.rejects(redeem(claim, { secret: new Uint8Array(16) }), { code: 'claim-unknown' })
  await assert.rejects(redeem(claim, { secret: new Uint8Array(3) }), { code: 'claim-unknown' })
  await assert.rejects(redeem(claim, { role: 'operator' }), { code: 'claim-wrong-role', mend: /adit-agent enrol/ })
  const revoked = await registry.claims.create({ role: 'device' })
  await registry.claims.revoke(revoked.summary.id)
  await assert.rejects(redeem(revoked), { code: 'claim-revoked' })
  const taken = randomKeys()
  await redeem(claim, taken)
  await assert.rejects(redeem(claim), { code: 'claim-used' })
  const late = await registry.claims.create({ role: 'device', ttl: hour })
  await assert.rejects(redeem(late, { spkiSha256: taken.spkiSha256 }), { code: 'already-enrolled' })
  await assert.rejects(redeem(late, { tunnelKey: taken.tunnelKey }), { code: 'request-refused' })
  clock.ms += hour
  await assert.rejects(redeem(late), { code: 'claim-expired' })
  await assert.rejects(registry.claims.revoke('00'), { code: 'claim-unknown' })
  assert.deepEqual((await registry.claims.list()).map(({ state }) => state).sort(), ['expired', 'revoked', 'used'])
  await fixture.end()
})

test('a pattern counts, steps over taken names, and gives its tags', async () => {
  const fixture = await openRegistry()
  const { registry } = fixture
  await registry.devices.addWireguard({ name: 'pi-002', tunnelKey: randomHex(32) })
  const claim = await registry.claims.create({ role: 'device', name: 'pi-###', uses: 3, tags: ['site:oslo', 'site:oslo'] })
  const names = []
  for (let n = 0; n < 3; n += 1) {
    const { principal } = await registry.claims.redeem({ id: claim.summary.id, secret: claim.secret, ...randomKeys() })
    names.push(principal.name)
    assert.deepEqual(principal.tags, ['site:oslo'])
  }
  assert.deepEqual(names, ['pi-001', 'pi-003', 'pi-004'])
  await fixture.end()
})

test('bad claims are refused before they are made', async () => {
  const fixture = await openRegistry()
  const { claims } = fixture.registry
  for (const name of ['a/b', 'x\u001b[2J', '-a', 'a-', '', 'ü', 'pi-{n}-{n}']) {
    await assert.rejects(claims.create({ role: 'device', name }), { code: 'name-invalid' }, name)
  }
  await assert.rejects(claims.create({ role: 'device', name: 'pi', uses: 2 }), { code: 'usage' })
  await assert.rejects(claims.create({ role: 'device', uses: 0 }), { code: 'usage' })
  await assert.rejects(claims.create({ role: 'device', admin: true }), { code: 'usage' })
  await assert.rejects(claims.create({ role: 'operator', groups: ['a b'] }), { code: 'name-invalid' })
  assert.deepEqual(await claims.list(), [])
  await fixture.end()
})

test('A-31 the secret is on disk only as a hash', async () => {
  const fixture = await openRegistry()
  const { secret } = await fixture.registry.claims.create({ role: 'device' })
  for (const file of ['adit.db', 'adit.db-wal']) {
    const text = readFileSync(join(fixture.folder, file)).toString('latin1')
    assert.equal(text.includes(Buffer.from(secret).toString('latin1')), false, file)
  }
  await fixture.end()
})
