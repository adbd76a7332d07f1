import assert from 'node:assert/strict'
import test from 'node:test'
import type { Registry } from '#broker/registry/registry.ts'
import type { Certify } from '#broker/registry/right-uses.ts'
import { isAditError } from '#shared/errors.ts'
import { openRegistry, randomHex, randomKeys } from '#test/broker/registry/registry-fixture.ts'

const day = 86_400_000

/** Redeems a claim with keys of its own as enrolment does, certificate and all; `did` hears of each certificate that is made. */
async function redeemer(registry: Registry, claim: object, now: number, did: (name: string) => void = () => undefined) {
  const { summary, secret } = await registry.claims.create({ role: 'device', ...claim })
  return (keys = randomKeys()) => {
    const certify: Certify = async ({ name }) => {
      did(name)
      const place = { issuerHex: 'aa', serialHex: randomHex(8), notBefore: now, notAfter: now + day }
      return { ...place, spkiSha256Hex: keys.spkiSha256, tunnelKey: keys.tunnelKey, der: Buffer.from(place.serialHex) }
    }
    return registry.rights.redeem(
      registry.claims.right({ id: summary.id, secret }),
      { ...keys, shownAt: 0 as never },
      {},
      certify,
    )
  }
}

test('redemptions that come at once are one transaction, and each is whole', async () => {
  const { registry, clock, end } = await openRegistry()
  const made: string[] = []
  const redeem = await redeemer(registry, { name: 'pi-{n}', uses: 12 }, clock.ms, (name) => made.push(name))
  const before = (await registry.audit.query()).length
  const asked = Array.from({ length: 12 }, () => redeem())
  await Promise.race(asked)
  assert.equal(made.length, 12, 'every certificate was made before the first was given')
  const redeemed = await Promise.all(asked)
  assert.deepEqual(
    redeemed.map(({ principal }) => principal.name),
    Array.from({ length: 12 }, (_, at) => `pi-${at + 1}`),
  )
  for (const { principal, certificate } of redeemed) {
    assert.equal(registry.directory.byName('device', principal.name)?.expiresAt, clock.ms + day)
    assert.deepEqual(
      (await registry.certificates.list(principal.id)).map(({ der }) => Buffer.from(der).toString()),
      [Buffer.from(certificate!).toString()],
    )
  }
  const told = (await registry.audit.query()).slice(before)
  for (const { principal } of redeemed) {
    const own = told.filter(({ deviceId }) => deviceId === principal.id).map(({ action }) => action)
    assert.deepEqual(own, ['claim.redeem', 'certificate.issue'])
  }
  assert.equal((await registry.claims.list())[0]?.used, 12)
  await end()
})

test('A-43 A-46 a fault in a group is that of one alone, whether it is found before or after it has written', async () => {
  const { registry, clock, end } = await openRegistry()
  await registry.devices.addWireguard({ name: 'pi-other', tunnelKey: randomHex(32) })
  const keys = randomKeys()
  const good = await redeemer(registry, { name: 'good-{n}', uses: 40 }, clock.ms)
  const single = await redeemer(registry, { name: 'single' }, clock.ms)
  const laterTaken = await redeemer(registry, { name: 'single' }, clock.ms)
  const failing = await redeemer(registry, { name: 'failing' }, clock.ms, () => assert.fail('the signer is away'))
  const outcomes = await Promise.allSettled([
    ...Array.from({ length: 3 }, () => good()),
    single(),
    single(),
    laterTaken(),
    failing(),
    good(keys),
    good(keys),
    good({ ...randomKeys(), tunnelKey: keys.tunnelKey }),
    good(),
  ])
  const codes = outcomes.map((one) => {
    if (one.status === 'fulfilled') return one.value.repeated ? 'repeated' : 'new'
    return isAditError(one.reason) ? one.reason.code : one.reason.message
  })
  const three = ['new', 'new', 'new']
  const faulty = ['new', 'claim-used', 'name-taken', 'the signer is away', 'new', 'repeated', 'request-refused', 'new']
  assert.deepEqual(codes, [...three, ...faulty])
  const used = Object.fromEntries((await registry.claims.list()).map(({ name, used }) => [name, used]))
  assert.deepEqual([used['good-{n}'], used.failing], [5, 0])
  const names = registry.devices.list().map(({ name }) => name)
  assert.deepEqual(names.sort(), ['good-1', 'good-2', 'good-3', 'good-4', 'good-5', 'pi-other', 'single'])
  for (const { id, name, stock } of registry.devices.list())
    if (!stock) assert.equal((await registry.certificates.list(id)).length, 1, name)
  await end()
})

test('what is asked before the registry closes is on the disk, also beyond one group', async () => {
  const fixture = await openRegistry()
  const redeem = await redeemer(fixture.registry, { name: 'pi-{n}', uses: 70 }, fixture.clock.ms)
  const asked = Promise.all(Array.from({ length: 70 }, () => redeem()))
  const again = await fixture.reopen()
  const redeemed = await asked
  assert.equal(again.devices.list().length, 70)
  for (const { principal } of redeemed) assert.equal(again.directory.byName('device', principal.name)?.id, principal.id)
  await fixture.end()
})
