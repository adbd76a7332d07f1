import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Authority } from '#broker/identity/authority.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { decodePrivateKey } from '#shared/pki/private-key.ts'
import { judgeTime, signedTimeFromJson, signedTimeToJson, signTime } from '#shared/pki/signed-time.ts'
import { type Clock, days, instant, wallTime } from '#shared/time/instant.ts'

const founded = Date.UTC(2026, 0, 1)

/** A fleet's authority, and what signs its time. */
async function fleet(t: { after(work: () => void): void }, wall = founded) {
  const folder = mkdtempSync(join(tmpdir(), 'adit-time-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const clock: Clock = { now: () => instant(0), wall: () => wallTime(wall) }
  const authority = await Authority.openOrCreate(folder, { suite, clock })
  const { key, cert } = authority.tls
  const signer = { key: decodePrivateKey('p256', key, suite), chain: decodePem('CERTIFICATE', cert) }
  return { authority, signer, root: parseCertificate(authority.rootDer) }
}

const nonce = new Uint8Array(32).fill(7)
const floor = wallTime(founded - days(3_000))

test('F-05 a signed time is taken from a server of the fleet, over JSON, by one whose floor is years behind', async (t) => {
  const { signer, root } = await fleet(t)
  const now = wallTime(founded + days(10))
  const told = signedTimeFromJson(JSON.parse(JSON.stringify(signedTimeToJson(signTime(now, nonce, signer, suite)))))
  assert.equal(judgeTime(told, { nonce, roots: [root], floor }, suite), now)
})

test('F-05 an old answer, another time, another fleet and a lost signer are refused', async (t) => {
  const { signer, root } = await fleet(t)
  const other = await fleet(t)
  const now = wallTime(founded + days(10))
  const told = signTime(now, nonce, signer, suite)
  const asked = { nonce, roots: [root], floor }
  const refused = (answer: typeof told, question = asked): string => {
    try {
      judgeTime(answer, question, suite)
    } catch (error) {
      return (error as { code: string }).code
    }
    return 'taken'
  }
  assert.equal(refused(told), 'taken')
  assert.equal(refused(told, { ...asked, nonce: new Uint8Array(32) }), 'signature-invalid', 'replayed')
  assert.equal(refused({ ...told, time: wallTime(now + 1) }), 'signature-invalid')
  assert.equal(refused(told, { ...asked, roots: [other.root] }), 'issuer-unknown')
  assert.equal(refused({ ...told, chain: other.signer.chain }, { ...asked, roots: [other.root] }), 'signature-invalid')
  // Its own certificate says that it cannot be 2099.
  assert.equal(refused(signTime(wallTime(Date.UTC(2099, 0, 1)), nonce, signer, suite)), 'expired')
  assert.equal(refused(signTime(wallTime(0), nonce, signer, suite)), 'expired')
  assert.equal(refused(told, { ...asked, floor: wallTime(founded + days(400)) }), 'expired', 'a key whose time has passed')
  for (const at of [0, 31, 63]) {
    const signature = Uint8Array.from(told.signature)
    signature[at]! ^= 1
    assert.equal(refused({ ...told, signature }), 'signature-invalid')
  }
  for (const document of [{}, { time: -1, chain: [] }, { time: 1.5, chain: [] }, { time: 1 }])
    assert.throws(() => signedTimeFromJson(document), { code: 'signature-invalid' })
})
