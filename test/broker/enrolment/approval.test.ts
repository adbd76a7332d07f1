import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { keyFingerprint } from '#shared/fleet/key-fingerprint.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { ApiFixture, basic, certificateIn, hex, oneDay } from '#test/broker/api/api-fixture.ts'

const keys = () => ({ identity: suite.ecdsaP256.generate(), tunnel: suite.x25519.generate() })

test('a request waits for a person: 202, Retry-After and the fingerprint that the person sees; then the certificate', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { enrolments } = fixture.registry
  const claim = await fixture.claim({ role: 'device', name: 'pi-###', uses: 3, approval: true, tags: ['roof'] })
  const pair = keys()
  const first = await fixture.enrolWith(claim, pair)
  assert.deepEqual([first.status, first.headers['retry-after']], [202, '30'])
  const [waiting] = await enrolments.list()
  assert.deepEqual(first.json, {
    state: 'waiting',
    request: waiting?.id,
    key: keyFingerprint(p256Spki(pair.identity.publicKey), suite),
    retryAfter: 30,
  })
  assert.equal(fixture.registry.directory.byName('device', 'pi-001'), undefined)
  // Asked again, by the same device, it is the same request.
  assert.equal((await fixture.enrolWith(claim, pair)).status, 202)
  assert.equal((await enrolments.list()).length, 1)

  await enrolments.approve(waiting!.id, { name: 'pi-kitchen', tags: ['seen'] }, 'admin:ann')
  const der = certificateIn(await fixture.enrolWith(claim, pair))
  assert.match(new X509Certificate(der).subject, /CN=pi-kitchen/)
  assert.deepEqual(fixture.registry.directory.byName('device', 'pi-kitchen')?.tags, ['roof', 'seen'])
  assert.deepEqual(certificateIn(await fixture.enrolWith(claim, pair)), der, 'and again the same certificate')
  assert.equal((await enrolments.get(waiting!.id)).state, 'enrolled')
  await assert.rejects(enrolments.deny(waiting!.id, 'late'), { code: 'request-decided' })
  const audit = (await fixture.registry.audit.query({ limit: 1000 })).map(({ actor, action, subject }) => [
    actor,
    action,
    subject,
  ])
  assert.ok(audit.some(([actor, action]) => actor?.startsWith('claim:') && action === 'enrolment.ask'))
  assert.ok(audit.some((row) => row.join() === `admin:ann,enrolment.approve,enrolment:${waiting!.id}`))
})

test('a denial is told with its reason, for ever, and the claim has another use for another key', async (t) => {
  const fixture = await ApiFixture.open(t)
  const claim = await fixture.claim({ role: 'device', name: 'pi', approval: true })
  const pair = keys()
  await fixture.enrolWith(claim, pair)
  await fixture.registry.enrolments.deny(1, 'not in the order', 'admin:ann')
  for (let i = 0; i < 2; i++) {
    const answer = await fixture.enrolWith(claim, pair)
    assert.deepEqual([answer.status, answer.json.error], [403, 'enrolment-denied'])
    assert.match(answer.json.message, /not in the order/)
  }
  const other = keys()
  assert.equal((await fixture.enrolWith(claim, other)).status, 202)
  await fixture.registry.enrolments.approve(2, {})
  assert.equal((await fixture.enrolWith(claim, other)).status, 200)
})

test('A-41 no more requests wait than a claim has uses, nor than the queue holds', async (t) => {
  const fixture = await ApiFixture.open(t)
  await fixture.restart({ queue: 3, retryAfter: 5 })
  const one = await fixture.claim({ role: 'device', name: 'a', approval: true })
  const statuses = (await Promise.all(Array.from({ length: 8 }, () => fixture.enrolWith(one, keys())))).map(
    ({ status }) => status,
  )
  assert.deepEqual(statuses.sort(), [202, ...Array(7).fill(401)])
  const many = await fixture.claim({ role: 'device', name: 'b-{n}', uses: 100, approval: true })
  assert.deepEqual((await fixture.enrolWith(many, keys())).headers['retry-after'], '5')
  await fixture.enrolWith(many, keys())
  const full = await fixture.enrolWith(many, keys())
  assert.deepEqual([full.status, full.json.error, full.headers['retry-after']], [429, 'rate-limited', '60'])
})

test('who waits does not lose the claim by waiting; who never asked does', async (t) => {
  const fixture = await ApiFixture.open(t)
  const claim = await fixture.claim({ role: 'device', name: 'pi-{n}', uses: 2, approval: true, ttl: 60_000 })
  const pair = keys()
  await fixture.enrolWith(claim, pair)
  fixture.clock.forward(2 * oneDay)
  assert.equal((await fixture.enrolWith(claim, pair)).status, 202)
  assert.equal((await fixture.enrolWith(claim, keys())).json.error, 'claim-expired')
  await fixture.registry.enrolments.approve(1, {})
  assert.equal((await fixture.enrolWith(claim, pair)).status, 200)
})

test('the kill switch: a revoked claim ends what waits and what was approved, at once', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { id, secret } = await fixture.registry.claims.create({ role: 'device', name: 'pi-{n}', uses: 9, approval: true })
  const claim = basic(hex(id), hex(secret))
  const pairs = [keys(), keys()]
  for (const pair of pairs) await fixture.enrolWith(claim, pair)
  await fixture.registry.enrolments.approve(2, {})
  await fixture.registry.claims.revoke(hex(id))
  for (const pair of pairs) assert.equal((await fixture.enrolWith(claim, pair)).json.error, 'claim-revoked')
  assert.deepEqual(await fixture.registry.enrolments.list(), [])
  assert.equal(fixture.registry.directory.byName('device', 'pi-1'), undefined)
  await assert.rejects(fixture.registry.enrolments.approve(2, {}), { code: 'claim-revoked' }, 'nothing is promised by it')
  assert.equal((await fixture.registry.enrolments.get(2)).state, 'denied')
})

test('a denial that is taken back leaves no reason behind', async (t) => {
  const fixture = await ApiFixture.open(t)
  const claim = await fixture.claim({ role: 'device', name: 'pi', approval: true })
  const pair = keys()
  await fixture.enrolWith(claim, pair)
  await fixture.registry.enrolments.deny(1, 'not ours')
  await fixture.registry.enrolments.approve(1, {})
  assert.equal((await fixture.registry.enrolments.get(1)).reason, undefined)
  assert.equal((await fixture.enrolWith(claim, pair)).status, 200)
})

test('what nobody decides lapses after 30 days, and makes room', async (t) => {
  const fixture = await ApiFixture.open(t)
  const forgotten = await fixture.claim({ role: 'device', name: 'old', approval: true })
  await fixture.enrolWith(forgotten, keys())
  fixture.clock.forward(31 * oneDay)
  const claim = await fixture.claim({ role: 'device', name: 'new', approval: true })
  await fixture.enrolWith(claim, keys())
  assert.deepEqual(
    (await fixture.registry.enrolments.list()).map(({ name }) => name),
    ['new'],
  )
  assert.ok((await fixture.registry.audit.query({ limit: 1000 })).some(({ action }) => action === 'enrolment.lapse'))
})

test('A-41 a claim for listed units takes each of their numbers once, and no other', async (t) => {
  const fixture = await ApiFixture.open(t)
  const claim = await fixture.claim({ role: 'device', name: 'pi-{n}', serials: ['AB12', 'cd34'] })
  const pair = keys()
  const ask = (serial: string | undefined, with_ = keys()) => fixture.enrolWith(claim, { ...with_, ...(serial && { serial }) })
  assert.equal((await ask(undefined)).json.error, 'claim-wrong-serial')
  assert.equal((await ask('ef56')).json.error, 'claim-wrong-serial')
  assert.equal((await ask('ab12', pair)).status, 200)
  assert.equal((await ask('ab12', pair)).status, 200, 'the same unit again')
  assert.equal((await ask('AB12')).json.error, 'claim-used')
  assert.equal((await ask('cd34')).status, 200)
  assert.equal(fixture.registry.directory.byName('device', 'pi-3'), undefined)
})

test('A-41 a claim has a pace', async (t) => {
  const fixture = await ApiFixture.open(t)
  const claim = await fixture.claim({ role: 'device', name: 'pi-{n}', uses: 100, rate: '3/m' })
  const ask = async () => (await fixture.enrolWith(claim, keys())).status
  assert.deepEqual(await Promise.all(Array.from({ length: 5 }, ask)).then((all) => all.sort()), [200, 200, 200, 429, 429])
  fixture.clock.forward(61_000)
  assert.equal(await ask(), 200)
})
