import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Authority } from '#broker/identity/authority.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { aditArc } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import type { PeerRole } from '#shared/pki/roles.ts'
import { type Clock, days, instant, type WallTime, wallTime } from '#shared/time/instant.ts'
import { codeOfRefusal } from '#test/broker/identity/refusal.ts'

const day = days(1)
const begin = Date.UTC(2026, 5, 1)

class TestClock implements Clock {
  at = begin
  now = () => instant(this.at)
  wall = () => wallTime(this.at)
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'adit-authority-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

async function open(
  t: TestContext,
  clock: Clock = new TestClock(),
  apiNames?: string[],
): Promise<{ authority: Authority; dir: string }> {
  const dir = await folder(t)
  return { dir, authority: await Authority.openOrCreate(dir, { suite, clock }, apiNames && { apiNames }) }
}

const newSpki = (): Uint8Array => p256Spki(suite.ecdsaP256.generate().publicKey)
const at = (ms: number): WallTime => wallTime(ms)

test('first run makes a whole authority in private files, the second finds it', async (t) => {
  const { authority, dir } = await open(t)
  const again = await Authority.openOrCreate(dir, { suite, clock: new TestClock() })
  assert.deepEqual(again.rootDer, authority.rootDer)
  assert.deepEqual(again.tunnelKey, authority.tunnelKey)
  assert.deepEqual(again.enrolmentKey, authority.enrolmentKey)
  assert.deepEqual(again.tls, authority.tls)
  assert.equal((await stat(join(dir, 'ca'))).mode & 0o777, 0o700)
  for (const name of await readdir(join(dir, 'ca'))) assert.equal((await stat(join(dir, 'ca', name))).mode & 0o777, 0o600, name)
  assert.equal((await stat(join(dir, 'tunnel.key'))).mode & 0o777, 0o600)
})

test('a certificate that was issued verifies, and says who holds it', async (t) => {
  const { authority } = await open(t)
  const tunnelKey = suite.x25519.generate().publicKey
  const spki = newSpki()
  for (const role of ['device', 'operator', 'station'] as const) {
    const issued = await authority.issue({ role, name: 'Pi-Kitchen', spki, tunnelKey })
    const peer = authority.verifyPeer([issued.der, ...authority.chainOf(role)], at(begin + day))
    assert.equal(peer.role, role)
    assert.equal(peer.name, 'pi-kitchen')
    assert.deepEqual(peer.tunnelKey, tunnelKey)
    assert.equal(peer.serialHex, issued.serialHex)
    assert.equal(peer.issuerHex, issued.issuerHex)
    assert.equal(peer.spkiSha256Hex, issued.spkiSha256Hex)
    assert.equal(peer.expired, false)
    assert.equal(issued.notAfter - begin, 30 * day)
  }
  const plain = await authority.issue({ role: 'device', name: 'stock', spki })
  assert.equal(authority.verifyPeer([plain.der], at(begin)).tunnelKey, undefined)
})

test('names that are not allowed and keys that are not P-256 are not certified', async (t) => {
  const { authority } = await open(t)
  const code = (expected: string) => (error: unknown) => error instanceof AditError && error.code === expected
  await assert.rejects(authority.issue({ role: 'device', name: 'a/b', spki: newSpki() }), code('name-invalid'))
  await assert.rejects(authority.issue({ role: 'device', name: 'pi', spki: new Uint8Array(91) }), code('request-refused'))
})

test('A-33 expired, early, foreign and mutilated certificates are refused in one sentence, with the exact reason inside', async (t) => {
  const { authority } = await open(t)
  const { authority: other } = await open(t)
  const issued = await authority.issue({ role: 'device', name: 'pi', spki: newSpki() })
  const foreign = await other.issue({ role: 'device', name: 'pi', spki: newSpki() })
  const flipped = Uint8Array.from(issued.der)
  flipped[flipped.length - 3]! ^= 1
  const cases: [Uint8Array[], number, string][] = [
    [[issued.der], begin + 31 * day, 'expired'],
    [[issued.der], begin - day, 'not-yet-valid'],
    [[foreign.der], begin, 'issuer-unknown'],
    [[foreign.der, ...other.chainOf('device')], begin, 'issuer-unknown'],
    [[flipped], begin, 'signature-invalid'],
    [[issued.der.subarray(1)], begin, 'der-malformed'],
    [[], begin, 'certificate-malformed'],
  ]
  const messages = new Set<string>()
  for (const [chain, now, reason] of cases) {
    assert.equal(
      codeOfRefusal(() => authority.verifyPeer(chain, at(now)), messages),
      reason,
    )
  }
  assert.equal(messages.size, 1, 'strangers are told one sentence')
})

test('the renew-only lane: an expired certificate passes for 400 days, marked, and not a day longer', async (t) => {
  const { authority } = await open(t)
  const { der, notAfter } = await authority.issue({ role: 'device', name: 'pi', spki: newSpki() })
  assert.equal(
    codeOfRefusal(() => authority.verifyPeer([der], at(notAfter + 1))),
    'expired',
  )
  assert.equal(authority.verifyPeer([der], at(notAfter), { allowExpiredDays: 400 }).expired, false)
  assert.equal(authority.verifyPeer([der], at(notAfter + 400 * day), { allowExpiredDays: 400 }).expired, true)
  const late = () => authority.verifyPeer([der], at(notAfter + 400 * day + 1), { allowExpiredDays: 400 })
  assert.equal(codeOfRefusal(late), 'expired')
})

test('A-36 no certificate stands in for another role, for a server, or for an authority', async (t) => {
  const { authority } = await open(t)
  const server = Buffer.from(authority.tls.cert.split('-----')[2] ?? '', 'base64')
  assert.equal(
    codeOfRefusal(() => authority.verifyPeer([server], at(begin))),
    'issuer-unknown',
  )
  for (const role of ['device', 'operator', 'station', 'api'] as const) {
    assert.throws(() => authority.verifyPeer(authority.chainOf(role), at(begin)), AditError, `the CA of ${role} is no peer`)
  }
  assert.throws(() => authority.verifyPeer([authority.rootDer], at(begin)), AditError)
})

test('API certificate: names as asked for, re-issued when they change or a third of its life is left', async (t) => {
  const clock = new TestClock()
  const { authority, dir } = await open(t, clock, ['broker.example.com', '192.0.2.7', '2001:DB8::1'])
  const first = authority.tls.cert
  const leaf = new X509Certificate(first)
  assert.equal(leaf.checkHost('broker.example.com'), 'broker.example.com')
  for (const ip of ['192.0.2.7', '2001:db8::1', '127.0.0.1', '::1']) assert.equal(leaf.checkIP(ip), ip)
  assert.equal(await authority.refreshApiCertificate(['broker.example.com', '192.0.2.7', '2001:db8::1']), false)
  const plain = await Authority.openOrCreate(dir, { suite, clock })
  assert.equal(plain.tls.cert, first, 'a command that knows no names leaves it alone')
  assert.equal(await authority.refreshApiCertificate(['other.example.com']), true)
  assert.equal(new X509Certificate(authority.tls.cert).checkHost('other.example.com'), 'other.example.com')
  clock.at += 130 * day
  assert.equal(await authority.refreshApiCertificate(['other.example.com']), true)
  const bad = (error: unknown) => error instanceof AditError && error.code === 'config-invalid'
  await assert.rejects(authority.refreshApiCertificate(['a b']), bad)
})

test('A-47 an authority whose keys others can read does not open', async (t) => {
  const { dir } = await open(t)
  await chmod(join(dir, 'ca', 'device.key'), 0o640)
  const unsafe = (error: unknown) => error instanceof AditError && error.code === 'permission-unsafe'
  await assert.rejects(Authority.openOrCreate(dir, { suite, clock: new TestClock() }), unsafe)
  await chmod(join(dir, 'ca', 'device.key'), 0o600)
  await chmod(join(dir, 'ca'), 0o755)
  await assert.rejects(Authority.openOrCreate(dir, { suite, clock: new TestClock() }), unsafe)
})

test('a damaged authority is reported, never replaced', async (t) => {
  const { dir } = await open(t)
  const failed = (error: unknown) => error instanceof AditError && error.code === 'storage-failed'
  const key = await readFile(join(dir, 'ca', 'device.key'))
  await writeFile(join(dir, 'ca', 'device.key'), '')
  await assert.rejects(Authority.openOrCreate(dir, { suite, clock: new TestClock() }), failed)
  await writeFile(join(dir, 'ca', 'device.key'), await readFile(join(dir, 'ca', 'operator.key')))
  await assert.rejects(Authority.openOrCreate(dir, { suite, clock: new TestClock() }), failed)
  await writeFile(join(dir, 'ca', 'device.key'), key)
  await rm(join(dir, 'ca', 'enrolment.key'))
  await assert.rejects(Authority.openOrCreate(dir, { suite, clock: new TestClock() }), failed)
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

test('openssl reads what we issue, and verifies it', { skip: !hasOpenssl && 'openssl is not installed' }, async (t) => {
  const { authority, dir } = await open(t, { now: () => instant(0), wall: () => wallTime(Date.now()) })
  const tunnelKey = suite.x25519.generate().publicKey
  const pem = (der: Uint8Array): string => new X509Certificate(der).toString()
  await writeFile(join(dir, 'root.pem'), pem(authority.rootDer))
  for (const role of ['device', 'operator', 'station'] as PeerRole[]) {
    const { der } = await authority.issue({ role, name: 'pi', spki: newSpki(), tunnelKey })
    await writeFile(join(dir, 'leaf.pem'), pem(der))
    await writeFile(join(dir, 'ca.pem'), pem(authority.chainOf(role)[0]!))
    const words = ['verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', 'root.pem', '-untrusted', 'ca.pem', 'leaf.pem']
    assert.match(execFileSync('openssl', words, { cwd: dir, encoding: 'utf8' }), /leaf\.pem: OK/)
    const text = execFileSync('openssl', ['x509', '-in', 'leaf.pem', '-noout', '-text'], { cwd: dir, encoding: 'utf8' })
    assert.ok(text.includes(`${aditArc}.1`), 'the tunnel key extension has its whole identifier')
    assert.ok(text.includes(`URI:urn:adit:${role}:pi`))
  }
  await writeFile(join(dir, 'server.pem'), authority.tls.cert)
  const server = ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'localhost', '-CAfile', 'root.pem']
  const words = [...server, '-untrusted', 'server.pem', 'server.pem']
  assert.match(execFileSync('openssl', words, { cwd: dir, encoding: 'utf8' }), /server\.pem: OK/)
  await writeFile(join(dir, 'key.pem'), authority.tls.key)
  assert.match(
    execFileSync('openssl', ['pkey', '-in', 'key.pem', '-noout', '-text'], { cwd: dir, encoding: 'utf8' }),
    /NIST CURVE: P-256/,
  )
})

test('the reason inside is a PkiError', async (t) => {
  const { authority } = await open(t)
  assert.throws(
    () => authority.verifyPeer([], at(begin)),
    (error) => error instanceof AditError && error.cause instanceof PkiError && !error.message.includes(error.cause.message),
  )
})
