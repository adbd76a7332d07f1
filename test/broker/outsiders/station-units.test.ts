import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { initStation } from '#agent/station/io/init-station.ts'
import { OpenStation } from '#agent/station/io/open-station.ts'
import { takeResponder } from '#broker/stations/station-responders.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { stationLabel, writeResponder } from '#shared/enrolment/unit-places.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { deliver } from '#test/agent/station/station-fixture.ts'
import { BrokerFixture } from '#test/broker/broker-fixture.ts'

const place = 'http://pki.example'

/** A line that works by itself, its broker with plain HTTP for outsiders, and openssl as one of them. */
async function scene(t: TestContext) {
  const fixture = new BrokerFixture({ outsiders: { address: '127.0.0.1', port: 0 } })
  fixture.pkiUrl = place
  await fixture.open()
  const folder = mkdtempSync(join(tmpdir(), 'adit-station-units-'))
  const { registry, authority, broker } = fixture
  const terms = { name: 'line-1', names: 'pump-{n}', quota: 9, ttl: 86_400_000, tags: [], claimTtl: 86_400_000 }
  const { claim } = await registry.stations.authorize(terms, registry.claims, 'admin')
  const { id, secret } = claim
  const token = encodeClaim({ api: [broker.ready.api], ca: authority.rootFingerprint, id, secret, role: 'station' }, suite)
  const ports = { suite, clock: systemClock, log: silentLog, path: join(folder, 'station') }
  const made = await initStation({ ...ports, token })
  made.identity.close()
  const station = await OpenStation.open({ ...ports, mode: 'offline' })
  t.after(async () => {
    await station.close()
    await fixture.end()
    rmSync(folder, { recursive: true, force: true })
  })
  const file = (name: string): string => join(folder, name)
  const put = (name: string, ...ders: readonly Uint8Array[]): void =>
    writeFileSync(file(name), ders.map((der) => encodePem('CERTIFICATE', der)).join(''))
  put('root.pem', authority.rootDer)
  put('device-ca.pem', authority.chainOf('device')[0]!)
  put('station-ca.pem', station.parts.own.ca.certificate.der)
  put('chain.pem', authority.chainOf('device')[0]!, station.parts.own.ca.certificate.der)
  const openssl = async (...words: readonly string[]): Promise<string> => {
    const child = spawn('openssl', words, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    return (await Promise.all([text(child.stdout), text(child.stderr)])).join('')
  }
  const url = broker.ready.pki!
  /** What stands at a place that a certificate names, as it is reached here. */
  const fetched = async (named: string): Promise<Uint8Array> => {
    const answer = await fetch(named.replace(place, url))
    assert.equal(answer.status, 200, named)
    return new Uint8Array(await answer.arrayBuffer())
  }
  /** A unit that the station has made by itself: its certificate, as a file. */
  const make = async (serial: string): Promise<string> => {
    const name = await deliver(station, serial)
    const unit = station.ledger.peek(serial)!
    put(`${name}.pem`, unit.certificate!.der)
    return name
  }
  const ask = (name: string, ...more: string[]) =>
    openssl(
      ...['ocsp', '-issuer', 'station-ca.pem', '-CAfile', 'root.pem', '-verify_other', 'chain.pem'],
      ...['-url', `${url}/ocsp`, ...more, '-cert', `${name}.pem`],
    )
  return { fixture, station, make, ask, openssl, fetched, file, folder }
}

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const needsOpenssl = { skip: !hasOpenssl && 'openssl is not installed' }

test(
  "openssl asks OCSP about a unit that a station made by itself: the broker answers by the station's leave",
  needsOpenssl,
  async (t) => {
    const { fixture, station, make, ask, openssl } = await scene(t)
    const name = await make('board-1')
    assert.match(await ask(name), /unauthorized/, 'the station has not said yet that the broker may')
    await station.sync()
    for (const more of [[], ['-no_nonce'], ['-sha256']]) {
      const said = await ask(name, ...more)
      assert.match(said, /Response verify OK/, said)
      assert.match(said, new RegExp(`${name}\\.pem: good`), said)
    }
    const later = await make('board-2')
    assert.match(await ask(later), /pump-2\.pem: unknown/, 'made by the station, and not told of')
    await fixture.registry.devices.revoke(name, 'admin', 'key-compromise')
    const revoked = await ask(name)
    assert.match(revoked, /pump-1\.pem: revoked[\s\S]*keyCompromise[\s\S]*Response verify OK/)
    const shown = await openssl('x509', '-in', `${name}.pem`, '-noout', '-text')
    assert.match(shown, /OCSP - URI:http:\/\/pki\.example\/ocsp/)
  },
)

test(
  'openssl checks such a unit by the list of stations that its certificate names, and its whole path by every list',
  needsOpenssl,
  async (t) => {
    const { fixture, station, make, openssl, fetched, file } = await scene(t)
    const good = await make('board-1')
    const bad = await make('board-2')
    await station.sync()
    const shown = await openssl('x509', '-in', `${good}.pem`, '-noout', '-text')
    const crl = /URI:(\S+-stations\.crl)/.exec(shown)?.[1]
    const issuer = /CA Issuers - URI:(\S+)/.exec(shown)?.[1]
    assert.match(shown, /CRL Issuer:\s+DirName:\s?CN ?= ?adit device CA/)
    assert.deepEqual([crl, issuer?.includes('/pki/station-')], [`${place}/pki/device-stations.crl`, true])
    const ca = station.parts.own.ca.certificate
    assert.deepEqual(await fetched(issuer!), Uint8Array.from(ca.der))
    assert.equal(issuer, `${place}/pki/${stationLabel(ca.spki, suite)}.crt`)
    const gather = async (): Promise<void> => {
      const lists = [crl!, `${place}/pki/device.crl`, `${place}/pki/root.crl`]
      const pems = await Promise.all(lists.map(async (one) => encodePem('X509 CRL', await fetched(one))))
      writeFileSync(file('lists.pem'), pems.join(''))
      writeFileSync(file('stations.pem'), pems[0]!)
    }
    const words = ['-extended_crl', '-CAfile', 'root.pem', '-untrusted', 'chain.pem', '-CRLfile', 'lists.pem']
    const check = (name: string, which = '-crl_check_all') => openssl('verify', which, ...words, `${name}.pem`)
    await gather()
    assert.match(await openssl('crl', '-in', 'stations.pem', '-noout', '-verify', '-CAfile', 'device-ca.pem'), /verify OK/)
    for (const name of [good, bad]) assert.match(await check(name), new RegExp(`${name}\\.pem: OK`))

    await fixture.registry.devices.revoke(bad, 'admin', 'key-compromise')
    await gather()
    assert.match(
      await openssl('crl', '-in', 'stations.pem', '-noout', '-text'),
      /Indirect CRL[\s\S]*Certificate Issuer[\s\S]*adit station line-1 CA/,
    )
    for (const which of ['-crl_check', '-crl_check_all']) {
      assert.match(await check(good, which), /pump-1\.pem: OK/)
      assert.match(await check(bad, which), /certificate revoked/)
    }
    await fixture.registry.stations.revoke('line-1', false, 'admin')
    await gather()
    assert.match(await check(good), /certificate revoked/, "the station's own CA")
    const silent = await openssl('verify', '-crl_check', ...words.slice(1), `${good}.pem`)
    assert.match(silent, /unable to get certificate CRL/, 'who cannot read indirect lists does not take it for good')
  },
)

test('A-36 only the word of that station, for the key that answers, and for nothing else, makes the broker a responder', async (t) => {
  const { fixture, station } = await scene(t)
  const { registry, authority } = fixture
  const row = registry.stations.get('line-1')
  const { ca } = station.parts.own
  const answering = authority.caOf('device').certificate.spki
  const offer = (der: Uint8Array) => takeResponder(registry.settings, row, der, answering)
  const stranger = suite.ecdsaP256.generate()
  const forged = { certificate: ca.certificate, pair: stranger }
  const [unit] = decodePem('CERTIFICATE', readFileSync(join(station.parts.ledgerPath, '../delegation.pem'), 'utf8'))
  for (const [why, der] of [
    ['another signer', writeResponder(forged, answering, suite)],
    ['another key', writeResponder(ca, p256Spki(stranger.publicKey), suite)],
    ['a certificate that may do other things', unit!],
    ['no certificate', Uint8Array.of(1, 2, 3)],
  ] as const)
    await assert.rejects(offer(der), { code: 'request-refused' }, why)
  await offer(writeResponder(ca, answering, suite))
  // Whoever holds the key of it comes in nowhere by it.
  const der = writeResponder(ca, answering, suite)
  assert.throws(() => authority.verifyPeer([der], systemClock.wall()), { code: 'certificate-refused' })
  assert.equal(parseCertificate(der).notAfter, ca.certificate.notAfter)
})
