import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodeCertsOnly } from '#shared/pki/certs-only.ts'
import { verifyRequest } from '#shared/pki/request.ts'
import { ApiFixture, basic, certificateIn, hex, oneDay } from '#test/broker/api/api-fixture.ts'

const keys = () => ({ identity: suite.ecdsaP256.generate(), tunnel: suite.x25519.generate() })

test('cacerts gives the pinned root and the issuing CAs, as certs-only CMS in base64', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { status, headers, body } = await fixture.ask('/.well-known/est/cacerts')
  assert.equal(status, 200)
  assert.match(String(headers['content-type']), /^application\/pkcs7-mime; smime-type=certs-only/)
  const certificates = decodeCertsOnly(new Uint8Array(Buffer.from(body.toString(), 'base64')))
  assert.deepEqual(certificates[0], fixture.authority.rootDer)
  for (const role of ['device', 'operator', 'station'] as const)
    assert.ok(
      certificates.some((der) => Buffer.from(der).equals(fixture.authority.chainOf(role)[0]!)),
      role,
    )
  // Whom the broker itself is certified by is nothing that a client of EST chains to.
  assert.ok(certificates.length <= 5)
  assert.match(String((await fixture.ask('/.well-known/est/csrattrs')).headers['content-type']), /application\/csrattrs/)
  const { json } = await fixture.ask('/v1/enrolment')
  assert.equal(json.enrolmentKey, Buffer.from(fixture.authority.enrolmentKey.publicKey).toString('base64'))
})

test('a claim becomes a certificate of the claim’s name, binding both proven keys', async (t) => {
  const fixture = await ApiFixture.open(t)
  const pair = keys()
  const answer = await fixture.enrolWith(await fixture.claim({ role: 'device', name: 'pi-7', tags: ['roof'] }), pair)
  assert.equal(answer.status, 200)
  const leaf = new X509Certificate(certificateIn(answer))
  assert.match(leaf.subject, /CN=pi-7/)
  assert.match(leaf.subjectAltName ?? '', /urn:adit:device:pi-7/)
  const principal = fixture.registry.directory.byName('device', 'pi-7')
  assert.equal(principal?.tunnelKey, hex(pair.tunnel.publicKey))
  assert.deepEqual(principal?.tags, ['roof'])
  assert.ok(principal && fixture.registry.directory.isAdmitted(principal, fixture.clock.wall()))
})

test('without credentials a client is asked for them, and every bad claim has its own code', async (t) => {
  const fixture = await ApiFixture.open(t)
  const bare = await fixture.ask('/.well-known/est/simpleenroll', {
    method: 'POST',
    headers: { 'content-type': 'application/pkcs10' },
    body: 'MA==',
  })
  assert.equal(bare.status, 401)
  assert.match(String(bare.headers['www-authenticate']), /^Basic realm=/)
  assert.match(String(bare.headers['content-type']), /^text\/plain/)

  const good = await fixture.registry.claims.create({ role: 'device', name: 'a' })
  const old = await fixture.claim({ role: 'device', name: 'b', ttl: 1000 })
  const gone = await fixture.registry.claims.create({ role: 'device', name: 'c' })
  await fixture.registry.claims.revoke(hex(gone.id))
  await fixture.enrolWith(basic(hex(good.id), hex(good.secret)), keys())
  fixture.clock.forward(2_000)
  const rows: [authorization: string, code: string][] = [
    [basic(hex(good.id), '0'.repeat(32)), 'claim-unknown'],
    [basic('0'.repeat(16), hex(good.secret)), 'claim-unknown'],
    [basic(hex(good.id), hex(good.secret)), 'claim-used'],
    [old, 'claim-expired'],
    [basic(hex(gone.id), hex(gone.secret)), 'claim-revoked'],
    ['Bearer x', 'claim-unknown'],
    [basic('x', 'y'), 'claim-unknown'],
  ]
  for (const [authorization, code] of rows) {
    const answer = await fixture.enrolWith(authorization, keys())
    assert.deepEqual([answer.status, answer.json.error], [401, code])
    assert.ok(answer.json.mend.length > 5)
  }
})

test('A-46 a power cut after the request costs nothing: the same claim and key give the same certificate', async (t) => {
  const fixture = await ApiFixture.open(t)
  const pair = keys()
  const authorization = await fixture.claim({ role: 'device', name: 'pi' })
  const first = certificateIn(await fixture.enrolWith(authorization, pair))
  assert.deepEqual(certificateIn(await fixture.enrolWith(authorization, pair)), first)
  // The cut may also come between the burning and the issuing: then nothing was recorded yet.
  const claim = await fixture.registry.claims.create({ role: 'device', name: 'po' })
  const other = keys()
  const redeemed = await fixture.registry.claims.redeem({
    id: hex(claim.id),
    secret: claim.secret,
    spkiSha256: spkiHash(fixture.request(other), fixture),
    tunnelKey: hex(other.tunnel.publicKey),
  })
  assert.equal(redeemed.certificate, undefined)
  const after = await fixture.enrolWith(basic(hex(claim.id), hex(claim.secret)), other)
  assert.match(new X509Certificate(certificateIn(after)).subject, /CN=po/)
})

test('A-42 P-19 of many enrolments at once with one claim exactly one succeeds', async (t) => {
  const fixture = await ApiFixture.open(t)
  const authorization = await fixture.claim({ role: 'device', name: 'pi' })
  const answers = await Promise.all(Array.from({ length: 24 }, () => fixture.enrolWith(authorization, keys())))
  assert.equal(answers.filter(({ status }) => status === 200).length, 1)
  assert.ok(answers.every(({ status, json }) => status === 200 || json.error === 'claim-used'))
  // And of one device that asks many times at once, every attempt gets the one certificate.
  const again = await fixture.claim({ role: 'device', name: 'po' })
  const pair = keys()
  const same = await Promise.all(Array.from({ length: 12 }, () => fixture.enrolWith(again, pair)))
  assert.equal(new Set(same.map((answer) => hex(certificateIn(answer)))).size, 1)
})

test('A-43 an enrolled name is not taken over by a new claim', async (t) => {
  const fixture = await ApiFixture.open(t)
  const victim = await fixture.enrol('device', { name: 'pi' })
  const answer = await fixture.enrolWith(await fixture.claim({ role: 'device', name: 'pi' }).catch(() => 'none'), keys())
  assert.notEqual(answer.status, 200)
  assert.equal(fixture.registry.directory.byName('device', 'pi')?.tunnelKey, hex(victim.tunnel.publicKey))
})

test('A-37 a request that proves nothing, or is none, is refused and burns nothing', async (t) => {
  const fixture = await ApiFixture.open(t)
  const authorization = await fixture.claim({ role: 'device', name: 'pi' })
  const pair = keys()
  const der = fixture.request(pair)
  const broken = Uint8Array.from(der)
  broken[broken.length - 3]! ^= 1
  const stolen = fixture.request({
    identity: pair.identity,
    tunnel: { ...suite.x25519.generate(), publicKey: pair.tunnel.publicKey },
  })
  for (const body of [
    '',
    'not base64!',
    Buffer.from(broken).toString('base64'),
    Buffer.from(stolen).toString('base64'),
    'MIIB',
  ]) {
    const answer = await fixture.ask('/.well-known/est/simpleenroll', {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/pkcs10', accept: 'application/json' },
      body,
    })
    assert.ok(answer.status === 400, `${answer.status} ${answer.body}`)
  }
  assert.equal((await fixture.enrolWith(authorization, pair)).status, 200)
})

test('P-11 failures count by address and claim, so that one device’s noise does not shut its neighbours out', async (t) => {
  const fixture = await ApiFixture.open(t)
  const noisy = await fixture.registry.claims.create({ role: 'device', name: 'noisy' })
  const wrong = basic(hex(noisy.id), '0'.repeat(32))
  const statuses: number[] = []
  for (let i = 0; i < 12; i++) statuses.push((await fixture.enrolWith(wrong, keys())).status)
  assert.deepEqual([...new Set(statuses)], [401, 429])
  assert.equal((await fixture.enrolWith(await fixture.claim({ role: 'device', name: 'quiet' }), keys())).status, 200)
  fixture.clock.forward(11 * 60_000)
  assert.equal((await fixture.enrolWith(basic(hex(noisy.id), hex(noisy.secret)), keys())).status, 200)
})

test('a certificate renews: the same subject, with the same keys or with new ones', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const renew = (body: Uint8Array, as = device as { key: string; cert: string }) =>
    fixture.ask('/.well-known/est/simplereenroll', {
      method: 'POST',
      as,
      headers: { 'content-type': 'application/pkcs10', accept: 'application/json' },
      body: Buffer.from(body).toString('base64'),
    })
  fixture.clock.forward(20 * oneDay)
  const same = new X509Certificate(certificateIn(await renew(fixture.request(device))))
  assert.match(same.subject, /CN=pi/)
  assert.ok(Date.parse(same.validTo) > fixture.clock.ms + 29 * oneDay)

  const fresh = keys()
  const der = certificateIn(await renew(fixture.request(fresh)))
  assert.equal(fixture.registry.directory.byName('device', 'pi')?.tunnelKey, hex(fresh.tunnel.publicKey))
  const changed = fixture.credentials('device', fresh.identity, der)
  assert.equal((await fixture.ask('/v1/agent/config', { as: changed })).status, 200)
  // A plain request of a stock client keeps the tunnel key that was proven before.
  assert.equal((await renew(fixture.request({ identity: fresh.identity }), changed)).status, 200)
  assert.equal(fixture.registry.directory.byName('device', 'pi')?.tunnelKey, hex(fresh.tunnel.publicKey))
})

test('the renew-only lane: an expired certificate renews with its own key for 400 days, and does nothing else', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const headers = { 'content-type': 'application/pkcs10', accept: 'application/json' }
  const renew = (request: Uint8Array) =>
    fixture.ask('/.well-known/est/simplereenroll', {
      method: 'POST',
      as: device,
      headers,
      body: Buffer.from(request).toString('base64'),
    })
  fixture.clock.forward(100 * oneDay)
  const config = await fixture.ask('/v1/agent/config', { as: device })
  assert.deepEqual([config.status, config.json.error], [403, 'certificate-refused'])
  assert.equal((await renew(fixture.request(keys()))).json.error, 'request-refused')
  assert.equal(
    (await renew(fixture.request({ identity: device.identity, tunnel: suite.x25519.generate() }))).json.error,
    'request-refused',
  )
  const der = certificateIn(await renew(fixture.request(device)))
  assert.equal((await fixture.ask('/v1/agent/config', { as: fixture.credentials('device', device.identity, der) })).status, 200)
  // Once revoked, or after 400 days, the lane is closed.
  fixture.clock.forward(431 * oneDay)
  assert.equal((await renew(fixture.request(device))).status, 403)
  fixture.clock.forward(-531 * oneDay)
  await fixture.registry.devices.revoke('pi')
  assert.equal((await renew(fixture.request(device))).status, 403)
})

function spkiHash(request: Uint8Array, fixture: ApiFixture): string {
  const { spki } = verifyRequest(request, fixture.authority.enrolmentKey, suite)
  return hex(suite.hash('sha256', spki))
}
