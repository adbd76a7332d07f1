import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { makeFleetKey, readFleetKey, readPublicHalf, replaceFleetKey } from '#agent/operator/io/fleet-key-file.ts'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'adit-fleet-key-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}
const never = (): Promise<string> => Promise.reject(new Error('nobody is asked'))
const says = (text: string) => async () => text

test('P-32 a key is 0600, read back, and never written over', async (t) => {
  const path = join(folder(t), 'deep', 'key.pem')
  const made = await makeFleetKey(path, undefined)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
  assert.deepEqual(await readFleetKey(path, never), made)
  assert.deepEqual(await readPublicHalf(path), made.publicKey)
  assert.equal(createPrivateKey(readFileSync(path)).asymmetricKeyType, 'ed25519', 'PKCS#8, which others read')
  const before = readFileSync(path)
  await assert.rejects(makeFleetKey(path, undefined), { code: 'fleet-key-refused' })
  assert.deepEqual(readFileSync(path), before)
  chmodSync(path, 0o640)
  await assert.rejects(readFleetKey(path, never), { code: 'permission-unsafe' })
})

test('A-88 under a passphrase: PBES2 that OpenSSL opens; a wrong passphrase opens nothing and is not repeated', async (t) => {
  const path = join(folder(t), 'key.pem')
  const made = await makeFleetKey(path, 'Grüße aus der Grube')
  const pem = readFileSync(path, 'latin1')
  assert.match(pem, /^-----BEGIN ENCRYPTED PRIVATE KEY-----/)
  assert.ok(!pem.includes(Buffer.from(made.privateKey).toString('base64').slice(0, 20)))
  assert.deepEqual(await readFleetKey(path, says('Grüße aus der Grube')), made)
  assert.deepEqual(await readFleetKey(path, says('Grüße aus der Grube'.normalize('NFD'))), made, 'as another keyboard writes it')
  await assert.rejects(readFleetKey(path, says('Gruesse')), (error: { code: string; message: string }) => {
    assert.equal(error.code, 'fleet-key-refused')
    assert.ok(!error.message.includes('Gruesse'))
    return true
  })
  assert.deepEqual(await readPublicHalf(path), made.publicKey, 'the public half needs none')
})

test('what is no key, or not there, is a sentence', async (t) => {
  const path = join(folder(t), 'key.pem')
  await assert.rejects(readFleetKey(path, never), { code: 'fleet-key-refused', message: /There is no fleet key/ })
  assert.equal(await readPublicHalf(path), undefined)
  writeFileSync(path, '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', { mode: 0o600 })
  await assert.rejects(readFleetKey(path, never), { code: 'fleet-key-refused', message: /no Ed25519 private key/ })
})

test('a rotation keeps the old key beside the new one', async (t) => {
  const path = join(folder(t), 'key.pem')
  const old = await makeFleetKey(path, undefined)
  const next = await makeFleetKey(`${path}.next`, undefined)
  const retired = await replaceFleetKey(`${path}.next`, path)
  assert.deepEqual(await readFleetKey(path, never), next)
  assert.deepEqual(await readPublicHalf(path), next.publicKey)
  assert.deepEqual(await readFleetKey(retired, never), old)
})
