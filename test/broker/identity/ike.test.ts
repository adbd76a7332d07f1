import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Authority } from '#broker/identity/authority.ts'
import { ikePath, ticketKeysPath } from '#broker/identity/ca-files.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { isAditError } from '#shared/errors.ts'
import { purposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { type Clock, days, instant, wallTime } from '#shared/time/instant.ts'
import { IdType } from '#shared/wire/ike-numbers.ts'
import { codeOfRefusal } from '#test/broker/identity/refusal.ts'

const day = days(1)
const begin = Date.UTC(2026, 5, 1)

class TestClock implements Clock {
  at = begin
  now = () => instant(this.at)
  wall = () => wallTime(this.at)
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'adit-ike-identity-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

const newSpki = (): Uint8Array => p256Spki(suite.ecdsaP256.generate().publicKey)

/** SubjectPublicKeyInfo of each kind of key that a stock peer may bring. */
const spkis: readonly [kind: string, spki: Uint8Array][] = [
  ['p256', newSpki()],
  ['p384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ type: 'spki', format: 'der' })],
  ['ed25519', generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' })],
  ['rsa', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'der' })],
]

function reasonOf(judge: () => unknown): string {
  try {
    judge()
  } catch (error) {
    if (error instanceof PkiError) return error.code
    throw error
  }
  return 'accepted'
}

test('the broker proves itself by its own certificate: a host name first, then addresses, the subject for ever the same', async (t) => {
  const dir = await folder(t)
  const clock = new TestClock()
  const apiNames = ['192.0.2.7', 'broker.example.com', '2001:DB8::1']
  const { ike, rootFingerprint, rootDer } = await Authority.openOrCreate(dir, { suite, clock }, { apiNames })
  assert.deepEqual(
    ike.ids.map(({ type }) => type),
    [IdType.Fqdn, IdType.Ipv4, IdType.Ipv6, IdType.DerAsn1Dn],
  )
  assert.equal(Buffer.from(ike.ids[0].data).toString(), 'broker.example.com')
  assert.equal(ike.id, 'broker.example.com')
  const eku = ike.certificate.extensions.purposes?.oids
  assert.deepEqual(eku, [purposes.serverAuth, purposes.ipsecIke])
  assert.equal(ike.chain.length, 2, 'leaf and issuing CA')
  assert.ok(!ike.chain.some((der) => Buffer.compare(der, rootDer) === 0))
  assert.equal((await stat(ikePath(dir))).mode & 0o777, 0o600)
  const moved = await Authority.openOrCreate(dir, { suite, clock }, { apiNames: ['198.51.100.9'] })
  assert.notDeepEqual(moved.ike.chain[0], ike.chain[0])
  assert.deepEqual(moved.ike.certificate.subject, ike.certificate.subject)
  assert.equal(moved.ike.id, `CN=adit broker ${toHex(rootFingerprint.subarray(0, 4))}`)
  assert.deepEqual(moved.ike.ids[0], { type: IdType.Ipv4, data: Uint8Array.of(198, 51, 100, 9) })
  const command = await Authority.openOrCreate(dir, { suite, clock })
  assert.deepEqual(command.ike.chain[0], moved.ike.chain[0], 'a command that knows no names leaves it alone')
  assert.equal(await command.refreshIkeCertificate(), false)
  clock.at += 130 * day
  assert.equal(await command.refreshIkeCertificate(), true)
  assert.notDeepEqual(command.ike.chain[0], moved.ike.chain[0])
})

test('a configured identity comes first, whatever it is', async (t) => {
  const options = { apiNames: ['broker.example.com'], ikeNames: ['203.0.113.5', 'broker.example.com'], ikeId: '203.0.113.5' }
  const { ike } = await Authority.openOrCreate(await folder(t), { suite, clock: new TestClock() }, options)
  assert.equal(ike.id, '203.0.113.5')
  assert.deepEqual(ike.ids[0], { type: IdType.Ipv4, data: Uint8Array.of(203, 0, 113, 5) })
  assert.equal(ike.ids.length, 3)
})

test('stock peers are certified with keys of every kind that is verified, and judged; agents are judged too', async (t) => {
  const authority = await Authority.openOrCreate(await folder(t), { suite, clock: new TestClock() })
  for (const [kind, spki] of spkis) {
    const issued = await authority.issue({ role: 'device', name: 'plant-a', spki, ipsec: true, days: 365 })
    for (const chain of [[issued.der], [issued.der, ...authority.chainOf('device')]]) {
      const { certificate, peer } = authority.judgeIkePeer(chain)
      assert.equal(certificate.publicKey.kind, kind)
      assert.equal(peer.spkiSha256Hex, issued.spkiSha256Hex)
      assert.equal(peer.issuerHex, issued.issuerHex)
      assert.equal(peer.serialHex, issued.serialHex)
      assert.equal(`${peer.role} ${peer.name}`, 'device plant-a')
      const names = certificate.extensions.subjectAltNames?.names ?? []
      assert.ok(names.some((name) => name.kind === 'dns' && name.value === 'plant-a'))
    }
    if (kind === 'p256') continue
    await assert.rejects(authority.issue({ role: 'device', name: 'plant-a', spki }), (error) => isAditError(error))
  }
  for (const role of ['device', 'operator', 'station'] as const) {
    const { der } = await authority.issue({ role, name: 'pi', spki: newSpki(), tunnelKey: suite.x25519.generate().publicKey })
    assert.equal(authority.judgeIkePeer([der]).peer.role, role)
  }
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'der' })
  await assert.rejects(authority.issue({ role: 'device', name: 'x', spki: weak, ipsec: true }), /1024/)
})

test('A-36 what is no peer of ours is refused: other fleets, expired ones, servers, authorities, a leaf that plays an issuer', async (t) => {
  const clock = new TestClock()
  const authority = await Authority.openOrCreate(await folder(t), { suite, clock })
  const other = await Authority.openOrCreate(await folder(t), { suite, clock })
  const issued = await authority.issue({ role: 'device', name: 'pi', spki: newSpki(), ipsec: true })
  const foreign = await other.issue({ role: 'device', name: 'pi', spki: newSpki(), ipsec: true })
  const refused = (...chain: Uint8Array[]): string => reasonOf(() => authority.judgeIkePeer(chain))
  assert.equal(refused(foreign.der, ...other.chainOf('device')), 'issuer-unknown')
  assert.equal(refused(...authority.ike.chain), 'purpose')
  assert.equal(refused(...authority.chainOf('device')), 'peer-is-ca')
  assert.equal(refused(authority.rootDer), 'purpose')
  assert.equal(refused(), 'certificate-malformed')
  const api = codeOfRefusal(() => authority.verifyPeer([issued.der], wallTime(begin)))
  assert.equal(api, 'identity-malformed', 'the certificate of a stock peer opens no API')
  const flipped = Uint8Array.from(issued.der)
  flipped[flipped.length - 3]! ^= 1
  assert.equal(refused(flipped), 'signature-invalid')
  clock.at = begin - day
  assert.equal(refused(issued.der), 'accepted', 'a clock before the certificate of the broker itself is not believed')
  clock.at = begin + 31 * day
  assert.equal(refused(issued.der), 'expired')
})

test('keys of session tickets: one a day, the one before beside it, in a private file that a restart finds', async (t) => {
  const dir = await folder(t)
  const clock = new TestClock()
  const authority = await Authority.openOrCreate(dir, { suite, clock })
  const keys = await authority.openTicketKeys()
  const first = keys.keys
  assert.equal(first.length, 1)
  assert.equal(first[0]?.length, 32)
  assert.equal((await stat(ticketKeysPath(dir))).mode & 0o777, 0o600)
  clock.at += day / 2
  assert.equal(await keys.rotate(), false)
  clock.at += day / 2
  assert.equal(await keys.rotate(), true)
  assert.deepEqual(keys.keys[1], first[0])
  assert.deepEqual((await authority.openTicketKeys()).keys, keys.keys)
  clock.at += day
  await keys.rotate()
  assert.equal(keys.keys.length, 2)
  assert.ok(!keys.keys.some((key) => Buffer.compare(key, first[0]!) === 0))
  clock.at -= 5 * day
  const earlier = await authority.openTicketKeys()
  assert.equal(earlier.keys.length, 1, 'keys of the future are none')
  await chmod(ticketKeysPath(dir), 0o644)
  await assert.rejects(authority.openTicketKeys(), (error) => isAditError(error) && error.code === 'permission-unsafe')
})
