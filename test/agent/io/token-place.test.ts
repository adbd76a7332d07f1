import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { parseDeviceConfig } from '#agent/device/config.ts'
import { makeBoardKey } from '#agent/io/board-key.ts'
import { NextIdentity } from '#agent/io/next-identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { defaultKeyLabel, isSameKey, movedTo, nextKeyLabel, parseTokenUri } from '#agent/io/token-place.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'

const place = { module: '/usr/lib/m.so', token: 'My token', key: 'k', pinFile: '/etc/adit/pin' }

test('a PKCS#11 URI names module, token, key and the file of the PIN', () => {
  assert.deepEqual(parseTokenUri('pkcs11:token=My%20token;object=k?module-path=/usr/lib/m.so&pin-source=/etc/adit/pin'), place)
  assert.deepEqual(
    parseTokenUri(
      'pkcs11:object=k;token=My%20token;type=private?pin-source=file:///etc/adit/pin&module-path=%2Fusr%2Flib%2Fm.so',
    ),
    place,
  )
  assert.equal(parseTokenUri('pkcs11:token=t?module-path=/m.so&pin-source=/p').key, defaultKeyLabel)
})

test('a URI that is not whole, has a PIN in it, or says what is not known is refused', () => {
  for (const uri of [
    '',
    'token=t',
    'pkcs11:',
    'pkcs11:token=t',
    'pkcs11:token=t?module-path=m.so&pin-source=/p',
    'pkcs11:token=t?module-path=/m.so',
    'pkcs11:token=t?module-path=/m.so&pin-source=p',
    'pkcs11:token=t?module-path=/m.so&pin-source=/p&pin-value=1234',
    'pkcs11:token=t;slot-id=1?module-path=/m.so&pin-source=/p',
    'pkcs11:token=%zz?module-path=/m.so&pin-source=/p',
    `pkcs11:token=${'t'.repeat(33)}?module-path=/m.so&pin-source=/p`,
    'pkcs11:token;x?module-path=/m.so&pin-source=/p',
  ])
    assert.throws(() => parseTokenUri(uri), { code: 'usage' }, uri)
})

test('the configuration says the same, and its mistakes are refused', async () => {
  const toml = (inner: string): string => `[identity]\npkcs11 = { ${inner} }\n`
  const whole = 'module = "/usr/lib/m.so", token = "My token", key = "k", pin_file = "/etc/adit/pin"'
  assert.deepEqual((await parseDeviceConfig(toml(whole), 'c')).pkcs11, place)
  const unlabelled = whole.replace(' key = "k",', '')
  assert.equal((await parseDeviceConfig(toml(unlabelled), 'c')).pkcs11?.key, defaultKeyLabel)
  assert.equal((await parseDeviceConfig(toml(`${whole}, serial = "0a1b"`), 'c')).pkcs11?.serial, '0a1b')
  assert.equal((await parseDeviceConfig('[identity]\nrenew = "new-key"\n', 'c')).renewsKey, true)
  await assert.rejects(parseDeviceConfig('[identity]\nrenew = "never"\n', 'c'), { code: 'config-invalid' })
  for (const inner of ['', 'module = "m.so"', `${whole}, pin = "1234"`, whole.replace('"k"', '5')])
    await assert.rejects(parseDeviceConfig(toml(inner), 'c.toml'), { code: 'config-invalid', message: /^c\.toml/ })
})

test('the label of a key that follows is another one, and never too long', () => {
  assert.equal(nextKeyLabel('unit'), 'unit.2')
  assert.equal(nextKeyLabel('unit.2'), 'unit.3')
  assert.equal(nextKeyLabel('unit.9'), 'unit.10')
  assert.equal(nextKeyLabel('unit.0'), 'unit.0.2')
  for (const label of ['x'.repeat(32), 'ä'.repeat(16), 'x.999998']) {
    let next = label
    const seen = new Set([label])
    for (let times = 0; times < 12; times++) {
      next = nextKeyLabel(next)
      assert.ok(Buffer.byteLength(next) <= 32, next)
      assert.ok(!seen.has(next), next)
      seen.add(next)
    }
  }
})

test('a person who says where the token is by now means the key that followed, unless he names it', () => {
  const moved = { ...place, module: '/opt/m.so' }
  assert.deepEqual(movedTo(moved, { ...place, key: 'k.3' }), { ...moved, key: 'k.3' })
  assert.deepEqual(movedTo({ ...moved, key: 'k.2' }, { ...place, key: 'k.3' }), { ...moved, key: 'k.3' })
  assert.deepEqual(movedTo({ ...moved, key: 'other' }, { ...place, key: 'k.3' }), { ...moved, key: 'other' })
  assert.deepEqual(movedTo(moved, place), moved)
  const long = 'x'.repeat(32)
  assert.equal(
    movedTo({ ...moved, key: long }, { ...place, key: nextKeyLabel(nextKeyLabel(long)) }).key,
    nextKeyLabel(nextKeyLabel(long)),
  )
})

test('two tokens of one label are told apart by their serial numbers', () => {
  assert.deepEqual(parseTokenUri('pkcs11:token=t;serial=0a1b?module-path=/m.so&pin-source=/p').serial, '0a1b')
  assert.throws(() => parseTokenUri('pkcs11:token=t;serial=?module-path=/m.so&pin-source=/p'), { code: 'usage' })
  assert.ok(isSameKey(place, { ...place, module: '/other.so', serial: '1' }))
  assert.ok(!isSameKey({ ...place, serial: '2' }, { ...place, serial: '1' }))
  assert.ok(!isSameKey(place, { ...place, key: 'another' }))
})

test('a key in hardware is never followed by one in a file', async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'adit-token-place-'))
  t.after(() => rm(path, { recursive: true }))
  const folder = await StateFolder.open(join(path, 'state'))
  const pinFile = join(path, 'pin')
  await writeFile(pinFile, '1234\n', { mode: 0o600 })
  await writeFile(folder.file('identity-token.json'), JSON.stringify({ ...place, pinFile }), { mode: 0o600 })
  assert.deepEqual(await folder.tokenPlace(), { ...place, pinFile })
  await assert.rejects(new NextIdentity(folder, suite).keys(), { code: 'key-token-missing', message: /\/usr\/lib\/m\.so/ })
  assert.equal(existsSync(folder.file('identity.key')), false)
  await writeFile(folder.file('identity-token.json'), '{"token":"My tok', { mode: 0o600 })
  await assert.rejects(folder.tokenPlace(), { code: 'storage-failed' })
})

test('a key that is a file already, or the board’s own, is refused by name before any token is asked', async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'adit-token-place-'))
  t.after(() => rm(path, { recursive: true }))
  const folder = await StateFolder.open(join(path, 'state'))
  await folder.makeKeys(suite)
  await assert.rejects(folder.makeKeys(suite, place), { code: 'key-token-refused', message: /is a file already/ })
  const board = await StateFolder.open(join(path, 'board'))
  await writeFile(join(board.path, 'idevid-token.json'), JSON.stringify(place), { mode: 0o600 })
  await assert.rejects(board.makeKeys(suite, place), { code: 'key-token-refused', message: /IDevID/ })
  await assert.rejects(makeBoardKey(folder.path, suite, place, place), { code: 'key-token-refused', message: /IDevID/ })
  await makeBoardKey(folder.path, suite)
  await assert.rejects(makeBoardKey(folder.path, suite, place), { code: 'key-token-refused', message: /idevid\.key/ })
})
