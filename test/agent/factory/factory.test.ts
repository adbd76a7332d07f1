import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { readBoard } from '#agent/factory/io/board-record.ts'
import { factoryIdevid } from '#agent/factory/verbs/idevid.ts'
import { factoryInit } from '#agent/factory/verbs/init.ts'
import { factoryShow, factoryTrustAnchor } from '#agent/factory/verbs/show.ts'
import { factoryVoucher } from '#agent/factory/verbs/voucher.ts'
import { installIdevid, readBoardIdentity } from '#agent/io/board-identity.ts'
import { makeBoardKey } from '#agent/io/board-key.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { openVoucher } from '#shared/enrolment/signed-voucher.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { createRequest } from '#shared/pki/request.ts'
import { makePrivateDirectory } from '#shared/platform/files.ts'
import { instant, wallTime } from '#shared/time/instant.ts'
import { owner } from '#test/shared/enrolment/built-board.ts'
import { now } from '#test/shared/pki/built-chain.ts'

/** A maker at work: what its verbs say, and a clock that is moved by hand. */
class Desk {
  readonly folder = mkdtempSync(join(tmpdir(), 'adit-factory-'))
  ms: number = now
  said = ''
  readonly notes: string[] = []
  readonly context = {
    stateFolder: this.folder,
    json: false,
    clock: { now: () => instant(0), wall: () => wallTime(this.ms) },
    note: (text: string) => void this.notes.push(text),
    write: async (text: string) => {
      this.said += text
    },
  } as unknown as OperatorContext

  constructor(t: TestContext) {
    t.after(() => rmSync(this.folder, { recursive: true }))
    writeFileSync(join(this.folder, 'owner.pem'), encodePem('CERTIFICATE', owner.certificate.der))
  }

  file(name: string): string {
    return join(this.folder, name)
  }

  async voucher(serial: string, more: { days?: number } = {}) {
    const out = this.file('out.voucher')
    const to = { owner: this.file('owner.pem'), api: ['https://broker.example'], address: [], out }
    await factoryVoucher(this.context, [serial], { ...to, ...more })
    const [cms] = decodePem('CMS', readFileSync(out, 'latin1'))
    const root = parseCertificate(decodePem('CERTIFICATE', readFileSync(this.file('factory/root.pem'), 'latin1'))[0]!)
    return openVoucher(cms!, [root], suite).voucher
  }
}

async function desk(t: TestContext): Promise<Desk> {
  const made = new Desk(t)
  await factoryInit(made.context, { name: 'acme' })
  return made
}

test('A-47 what a factory and a board keep is 0600 in folders of 0700, and a factory is never made over', async (t) => {
  const { context, folder } = await desk(t)
  await factoryIdevid(context, ['SN1'], { into: join(folder, 'board') })
  for (const dir of ['factory', 'factory/boards', 'board']) {
    assert.equal(statSync(join(folder, dir)).mode & 0o777, 0o700, dir)
    for (const name of readdirSync(join(folder, dir), { withFileTypes: true }))
      if (name.isFile()) assert.equal(statSync(join(folder, dir, name.name)).mode & 0o777, 0o600, `${dir}/${name.name}`)
  }
  const before = readFileSync(join(folder, 'factory/root.key'))
  await assert.rejects(factoryInit(context, { name: 'acme' }), { code: 'factory-refused' })
  assert.deepEqual(readFileSync(join(folder, 'factory/root.key')), before)
  chmodSync(join(folder, 'board/idevid.key'), 0o644)
  await assert.rejects(readBoardIdentity(join(folder, 'board'), suite), { code: 'permission-unsafe' })
})

test('a board makes its own key: request here, certificate there, and only for that key', async (t) => {
  const { context, folder } = await desk(t)
  const board = join(folder, 'board')
  await makePrivateDirectory(board)
  const { key } = await makeBoardKey(board, suite)
  assert.deepEqual((await makeBoardKey(board, suite)).key, key, 'asking again is asking for the same')
  const csr = join(folder, 'csr.pem')
  writeFileSync(csr, encodePem('CERTIFICATE REQUEST', createRequest({ name: 'whatever it says', identity: key }, suite)))
  await factoryIdevid(context, ['SN1'], { csr, out: join(folder, 'bundle.pem') })
  const bundle = readFileSync(join(folder, 'bundle.pem'), 'latin1')
  assert.equal((await installIdevid(board, bundle, suite)).serial, 'sn1')
  assert.equal((await readBoardIdentity(board, suite))?.serial, 'sn1')
  await factoryIdevid(context, ['SN2'], { into: join(folder, 'second') })
  await assert.rejects(installIdevid(join(folder, 'second'), bundle, suite), { code: 'factory-refused', message: /another key/ })
  writeFileSync(csr, 'no request')
  await assert.rejects(factoryIdevid(context, ['SN3'], { csr }), { code: 'request-refused' })
  const absent = join(folder, 'absent')
  await assert.rejects(factoryIdevid(context, ['SN3'], { csr: absent }), { code: 'not-found', message: /There is no file/ })
  const to = { owner: absent, api: ['https://broker.example'], address: [] }
  await assert.rejects(factoryVoucher(context, ['SN3'], to), { code: 'not-found', message: /There is no file/ })
})

test('a voucher for a board without an IDevID is made, and the mistake that it may be is named', async (t) => {
  const made = await desk(t)
  await factoryIdevid(made.context, ['SN1'], { into: made.file('board') })
  await made.voucher('SN1')
  assert.equal(
    made.notes.some((text) => /IDevID/.test(text)),
    false,
  )
  assert.equal((await made.voucher('SN11')).serial, 'sn11')
  assert.match(made.notes.join('\n'), /No board sn11 has an IDevID of this factory yet\./)
})

test('one serial number is one key, but for a reason that is kept', async (t) => {
  const { context, folder } = await desk(t)
  await factoryIdevid(context, ['sn1'], { into: join(folder, 'board') })
  await factoryIdevid(context, ['sn1'], { into: join(folder, 'board') })
  assert.equal((await readBoard(join(folder, 'factory'), 'sn1')).idevids.length, 1, 'the same key is the same board')
  await assert.rejects(factoryIdevid(context, ['sn1'], { into: join(folder, 'other') }), { code: 'factory-refused' })
  await factoryIdevid(context, ['sn1'], { into: join(folder, 'other'), replace: 'mainboard changed' })
  const [, second] = (await readBoard(join(folder, 'factory'), 'sn1')).idevids
  assert.equal(second?.reason, 'mainboard changed')
})

test('each voucher of a board is later than the one before, also where the clock went back', async (t) => {
  const made = await desk(t)
  const first = await made.voucher('sn1')
  assert.equal(first.createdOn, now)
  assert.equal(first.expiresOn, undefined)
  const second = await made.voucher('sn1', { days: 30 })
  assert.equal(second.createdOn, now + 1_000)
  assert.equal(second.expiresOn, now + 1_000 + 30 * 86_400_000)
  made.ms -= 365 * 86_400_000
  assert.equal((await made.voucher('sn1')).createdOn, now + 2_000)
  assert.equal((await made.voucher('sn2')).createdOn, made.ms)
  made.said = ''
  await factoryShow(made.context, undefined, {})
  assert.match(made.said, /sn1 +0 +3 /)
  await assert.rejects(factoryShow(made.context, 'sn9', {}), { code: 'not-found' })
})

test('keys under a passphrase open by it alone; the trust anchor needs none', async (t) => {
  const made = new Desk(t)
  const [good, bad] = [made.file('good'), made.file('bad')]
  writeFileSync(good, 'correct horse\n', { mode: 0o600 })
  writeFileSync(bad, 'wrong horse\n', { mode: 0o600 })
  await factoryInit(made.context, { name: 'acme', passphraseFile: good })
  for (const part of ['root', 'idevid-ca', 'voucher'])
    assert.match(readFileSync(made.file(`factory/${part}.key`), 'latin1'), /^-----BEGIN ENCRYPTED PRIVATE KEY-----/)
  await factoryIdevid(made.context, ['sn1'], { into: made.file('board'), passphraseFile: good })
  const wrong = factoryIdevid(made.context, ['sn2'], { into: made.file('second'), passphraseFile: bad })
  await assert.rejects(wrong, { code: 'factory-refused', message: /does not open/ })
  made.said = ''
  await factoryTrustAnchor(made.context, {})
  assert.match(made.said, /^-----BEGIN CERTIFICATE-----/)
})
