import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { certifyUnit } from '#agent/station/core/unit-identity.ts'
import { Authority } from '#broker/identity/authority.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import { BrokerFixture } from '#test/broker/broker-fixture.ts'

/** A broker that answers outsiders over plain HTTP, three devices' certificates of it, and openssl to judge what it says. */
async function scene(t: TestContext) {
  const fixture = await BrokerFixture.start({ outsiders: { address: '127.0.0.1', port: 0 } })
  const folder = mkdtempSync(join(tmpdir(), 'adit-outsiders-'))
  t.after(async () => {
    await fixture.end()
    rmSync(folder, { recursive: true, force: true })
  })
  const { registry, authority } = fixture
  const file = (name: string): string => join(folder, name)
  const pem = (name: string, der: Uint8Array): void => writeFileSync(file(name), encodePem('CERTIFICATE', der))
  const [device = new Uint8Array()] = authority.chainOf('device')
  pem('root.pem', authority.rootDer)
  pem('device-ca.pem', device)
  const issue = async (name: string) => {
    const spki = p256Spki(suite.ecdsaP256.generate().publicKey)
    const { principal } = await fixture.enlist('device', name)
    const issued = await authority.issue({ role: 'device', name, spki })
    await registry.certificates.record({ principalId: principal.id, ...issued })
    pem(`${name}.pem`, issued.der)
    return issued
  }
  const url = fixture.broker.ready.pki!
  const openssl = async (...words: readonly string[]) => {
    const child = spawn('openssl', words, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    const [out, err, status] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise<number | null>((resolve) => child.once('close', resolve)),
    ])
    return { status, said: out + err }
  }
  /** The CRL as a stranger gets it. */
  const fetchCrl = async (): Promise<Buffer> => {
    const der = Buffer.from(await (await fetch(`${url}/pki/device.crl`)).arrayBuffer())
    writeFileSync(file('device.crl'), der)
    await openssl('crl', '-inform', 'DER', '-in', 'device.crl', '-out', 'crl.pem')
    return der
  }
  return { fixture, registry, authority, issue, url, openssl, fetchCrl, file }
}

const ocspWords = (url: string, ...ids: readonly string[]): string[] => [
  ...['ocsp', '-issuer', 'device-ca.pem', '-CAfile', 'root.pem', '-verify_other', 'device-ca.pem', '-url', `${url}/ocsp`],
  ...ids,
]

test('openssl takes our CRL, empty and not, and refuses what it says is revoked', async (t) => {
  const { registry, issue, openssl, fetchCrl } = await scene(t)
  await issue('good')
  const bad = await issue('bad')
  await issue('gone')
  const verify = (name: string) =>
    openssl('verify', '-crl_check', '-CAfile', 'root.pem', '-untrusted', 'device-ca.pem', '-CRLfile', 'crl.pem', `${name}.pem`)

  await fetchCrl()
  const empty = await openssl('crl', '-in', 'crl.pem', '-noout', '-verify', '-CAfile', 'device-ca.pem', '-crlnumber')
  assert.match(empty.said, /verify OK/)
  for (const name of ['good', 'bad', 'gone']) assert.equal((await verify(name)).status, 0, name)

  await registry.certificates.revoke(bad.issuerHex, bad.serialHex, 'admin', 'key-compromise')
  await registry.devices.revoke('gone', 'admin', 'cessation-of-operation')
  await fetchCrl()
  const shown = await openssl('crl', '-in', 'crl.pem', '-noout', '-verify', '-CAfile', 'device-ca.pem', '-text')
  assert.match(shown.said, /verify OK/)
  assert.match(shown.said, /Version 2/)
  assert.match(shown.said, /X509v3 Authority Key Identifier/)
  assert.match(shown.said, /Key Compromise/)
  assert.match(shown.said, /Cessation Of Operation/)
  assert.equal((await verify('good')).status, 0)
  for (const name of ['bad', 'gone']) assert.match((await verify(name)).said, /certificate revoked/, name)
  const numbers = [empty.said, shown.said].map(
    (said) => /(?:crlNumber=0x|X509v3 CRL Number:\s+(?:0x)?)([0-9A-F]+)/i.exec(said)?.[1],
  )
  assert.ok(numbers[0] && numbers[1], JSON.stringify(numbers))
})

test('openssl asks OCSP: good, revoked with its reason, and unknown; by SHA-1 and SHA-256, with and without a nonce, POST and GET', async (t) => {
  const { registry, authority, issue, url, openssl, file } = await scene(t)
  await issue('good')
  const bad = await issue('bad')
  await registry.certificates.revoke(bad.issuerHex, bad.serialHex, 'admin', 'key-compromise')
  // Signed by the CA, and recorded nowhere.
  const stray = await authority.issue({ role: 'device', name: 'stray', spki: p256Spki(suite.ecdsaP256.generate().publicKey) })
  writeFileSync(file('stray.pem'), encodePem('CERTIFICATE', stray.der))
  for (const hash of ['-sha1', '-sha256']) {
    for (const nonce of ['-nonce', '-no_nonce']) {
      for (const [name, status] of [
        ['good', /good\.pem: good/],
        ['bad', /bad\.pem: revoked[\s\S]*keyCompromise/],
        ['stray', /stray\.pem: unknown/],
      ] as const) {
        const { said } = await openssl(...ocspWords(url, nonce, hash, '-cert', `${name}.pem`))
        assert.match(said, /Response verify OK/, `${hash} ${nonce} ${name}: ${said}`)
        assert.match(said, status, `${hash} ${nonce}`)
        if (nonce === '-nonce') assert.doesNotMatch(said, /no nonce|nonce does not match|WARNING/i, said)
      }
    }
  }

  await openssl('ocsp', '-issuer', 'device-ca.pem', '-cert', 'good.pem', '-no_nonce', '-reqout', 'request.der')
  const asked = readFileSync(file('request.der'))
  const got = await fetch(`${url}/ocsp/${encodeURIComponent(asked.toString('base64'))}`)
  assert.equal(got.headers.get('content-type'), 'application/ocsp-response')
  assert.match(got.headers.get('cache-control') ?? '', /max-age=300/)
  writeFileSync(file('response.der'), Buffer.from(await got.arrayBuffer()))
  const words = ['ocsp', '-issuer', 'device-ca.pem', '-CAfile', 'root.pem', '-verify_other', 'device-ca.pem', '-no_nonce']
  const read = await openssl(...words, '-cert', 'good.pem', '-respin', 'response.der')
  assert.match(read.said, /Response verify OK/)
  assert.match(read.said, /good\.pem: good/)
})

test('A-41 a revoked station: its CA is on the list of the device CA that signed it, and OCSP says so', async (t) => {
  const { registry, authority, url, openssl, fetchCrl, file } = await scene(t)
  const terms = { name: 'line-1', names: 'pump-{n}', quota: 9, ttl: 86_400_000, tags: [], claimTtl: 86_400_000 }
  const { station } = await registry.stations.authorize(terms, registry.claims, 'admin')
  const pair = suite.ecdsaP256.generate()
  const spki = p256Spki(pair.publicKey)
  const ca = await registry.stations.delegate(station, spki, (scope) => authority.issueDelegate(scope, spki))
  const board = { name: 'pump-1', spki: p256Spki(suite.ecdsaP256.generate().publicKey) }
  const unit = certifyUnit({ certificate: parseCertificate(ca), pair }, board, station, systemClock.wall(), suite)
  writeFileSync(file('station-ca.pem'), encodePem('CERTIFICATE', ca))
  writeFileSync(file('unit.pem'), encodePem('CERTIFICATE', unit))
  writeFileSync(file('chain.pem'), readFileSync(file('device-ca.pem'), 'latin1') + readFileSync(file('station-ca.pem'), 'latin1'))
  const ask = () => openssl(...ocspWords(url, '-no_nonce', '-cert', 'station-ca.pem'))
  const check = (...words: string[]) => openssl('verify', '-CAfile', 'root.pem', '-untrusted', 'chain.pem', ...words)

  await fetchCrl()
  assert.match((await ask()).said, /station-ca\.pem: good[\s\S]*Response verify OK/)
  assert.equal((await check('-crl_check', '-CRLfile', 'crl.pem', 'station-ca.pem')).status, 0)
  assert.equal((await check('unit.pem')).status, 0)

  await registry.stations.revoke('line-1', false, 'admin')
  await fetchCrl()
  assert.match((await ask()).said, /station-ca\.pem: revoked[\s\S]*Revocation Time/)
  const listed = (await openssl('crl', '-in', 'crl.pem', '-noout', '-text')).said
  assert.match(listed, new RegExp(parseCertificate(ca).serialHex.replace(/^0+/, ''), 'i'))
  assert.match((await check('-crl_check', '-CRLfile', 'crl.pem', 'station-ca.pem')).said, /certificate revoked/)
})

test("the root's list: openssl checks every CA of a path by it, and refuses a device CA whose key was lost", async (t) => {
  const { fixture, authority, issue, url, openssl, fetchCrl, file } = await scene(t)
  await issue('pump')
  await fetchCrl()
  const fetchRoot = async (): Promise<void> => {
    writeFileSync(file('root.crl'), Buffer.from(await (await fetch(`${url}/pki/root.crl`)).arrayBuffer()))
    await openssl('crl', '-inform', 'DER', '-in', 'root.crl', '-out', 'root-crl.pem')
    writeFileSync(file('lists.pem'), readFileSync(file('root-crl.pem'), 'latin1') + readFileSync(file('crl.pem'), 'latin1'))
  }
  const check = () =>
    openssl('verify', '-crl_check_all', '-CAfile', 'root.pem', '-untrusted', 'device-ca.pem', '-CRLfile', 'lists.pem', 'pump.pem')
  await fetchRoot()
  assert.match((await check()).said, /pump\.pem: OK/)
  assert.match((await openssl('crl', '-in', 'root-crl.pem', '-noout', '-verify', '-CAfile', 'root.pem')).said, /verify OK/)
  const [root] = authority.rootLists
  assert.ok(root!.list!.nextUpdate - root!.list!.thisUpdate >= 365 * 86_400_000, 'whoever holds the root is seldom there')

  for (const phase of ['prepared', 'trusted', 'issuing', 'retired'] as const) {
    if (phase === 'prepared') await fixture.authority.rotation.prepare('device')
    else await fixture.authority.rotation.advance('device', phase, { compromised: true })
  }
  await fetchRoot()
  assert.match((await check()).said, /certificate revoked/)
  await fixture.authority.rotation.rollBack('device')
  await fetchRoot()
  assert.match((await check()).said, /pump\.pem: OK/)
})

test('a kept answer is not given again once something was revoked', async (t) => {
  const { registry, issue, url, openssl, fetchCrl } = await scene(t)
  const { issuerHex, serialHex } = await issue('pump')
  const ask = () => openssl(...ocspWords(url, '-no_nonce', '-cert', 'pump.pem'))
  assert.match((await ask()).said, /pump\.pem: good/)
  const first = await fetchCrl()
  assert.deepEqual(await fetchCrl(), first, 'a list is signed once')
  await registry.certificates.revoke(issuerHex, serialHex, 'admin')
  assert.match((await ask()).said, /pump\.pem: revoked/)
  assert.notDeepEqual(await fetchCrl(), first)
})

test('what is no question is refused without a signature, and nothing else is said over plain HTTP', async (t) => {
  const { url, authority } = await scene(t)
  const post = (body: Uint8Array, type = 'application/ocsp-request') =>
    fetch(`${url}/ocsp`, { method: 'POST', body: Buffer.from(body), headers: { 'content-type': type } })
  const malformed = await post(Uint8Array.of(1, 2, 3))
  assert.deepEqual([...new Uint8Array(await malformed.arrayBuffer())], [0x30, 3, 0x0a, 1, 1])
  assert.equal((await post(new Uint8Array(5_000))).status, 413)
  assert.equal((await post(Uint8Array.of(1), 'text/plain')).status, 415)
  for (const path of [
    '/v1/agent/config',
    '/healthz',
    '/pki/nobody.crl',
    '/pki/../ca/root.key',
    '/pki/root-12345678.crl',
    '/metrics',
  ])
    assert.equal((await fetch(url + path)).status, 404, path)
  assert.equal((await fetch(`${url}/pki/device.crl`, { method: 'DELETE' })).status, 405)
  const root = new Uint8Array(await (await fetch(`${url}/pki/root.crt`)).arrayBuffer())
  assert.deepEqual(root, Uint8Array.from(authority.rootDer))
  const seen = await new Promise<number | undefined>((resolve) => {
    request(`${url}/pki/device.crl`, { method: 'HEAD' }, (answer) => resolve(answer.statusCode)).end()
  })
  assert.equal(seen, 200)
})

test('the API says the same over HTTPS, to who has no certificate', async (t) => {
  const { fixture, authority, issue } = await scene(t)
  await issue('pump')
  const https = new HttpsClient({ suite, trust: { rootDer: authority.rootDer }, time: () => 0 as never, proxy: () => undefined })
  t.after(() => https.close())
  const { api } = fixture.broker.ready
  const crl = await https.request({ url: `${api}/pki/operator.crl`, timeoutMs: 5_000 })
  assert.equal(crl.status, 200)
  const refused = await https.request({
    ...{ url: `${api}/ocsp`, method: 'POST', timeoutMs: 5_000, body: 'x' },
    headers: { 'content-type': 'application/ocsp-request' },
  })
  assert.deepEqual([...refused.body], [0x30, 3, 0x0a, 1, 1])
})

test('certificates name no place unless the operator has said one', async (t) => {
  const { authority } = await scene(t)
  const spki = p256Spki(suite.ecdsaP256.generate().publicKey)
  const plain = await authority.issue({ role: 'device', name: 'plain', spki })
  assert.equal(Buffer.from(plain.der).includes('http'), false)
  const folder = mkdtempSync(join(tmpdir(), 'adit-places-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const spoken = await Authority.openOrCreate(
    join(folder, 'data'),
    { suite, clock: systemClock },
    { pkiUrl: 'http://pki.example/' },
  )
  const { der } = await spoken.issue({ role: 'device', name: 'spoken', spki })
  assert.equal(parseCertificate(der).serial.length, 16)
  for (const url of ['http://pki.example/pki/device.crl', 'http://pki.example/ocsp', 'http://pki.example/pki/device.crt'])
    assert.ok(Buffer.from(der).includes(url), url)
  assert.equal(spoken.verifyPeer([der], systemClock.wall()).name, 'spoken')
})
