import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { askForVoucher } from '#agent/io/ask-for-voucher.ts'
import { followVoucher, type OwnerPorts } from '#agent/io/board-owner.ts'
import { readPin } from '#agent/io/fleet-keeper.ts'
import { Identity } from '#agent/io/identity.ts'
import { leaveFleet } from '#agent/io/leave-fleet.ts'
import { readVoucherLedger, writeVoucherLedger } from '#agent/io/voucher-ledger.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { silentLog } from '#shared/platform/log.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'
import { makeBoard, own, voucherFor } from '#test/broker/factory/board-fixture.ts'
import { BuiltFactory, later } from '#test/shared/enrolment/built-board.ts'

const rootOf = async ({ folder }: OwnerPorts): Promise<Uint8Array> =>
  decodePem('CERTIFICATE', (await folder.certificates())?.root ?? '')[0] ?? new Uint8Array()

const isOf = async (board: OwnerPorts, fixture: ApiFixture): Promise<boolean> =>
  equalPublic(await rootOf(board), fixture.authority.rootDer)

/** Two brokers that know nothing of one another, and a maker that both believe. */
async function scene(t: Parameters<typeof ApiFixture.open>[0]) {
  const factory = new BuiltFactory()
  const [first, second] = [await ApiFixture.open(t), await ApiFixture.open(t)]
  const board = await makeBoard(t, factory, 'sn1')
  return { factory, first, second, board }
}

test('first power-on: the voucher names the owner, whose fleet key is pinned before anything is believed', async (t) => {
  const { factory, first, board } = await scene(t)
  const fleetKey = suite.random(32)
  await own(first, factory, { fleetKey })
  const { voucher, nonce } = await askForVoucher(first.api.url, board.board, board)
  assert.equal(await followVoucher(voucher, board, nonce), 'enrolled')
  assert.ok(await isOf(board, first))
  assert.deepEqual(await readPin(board.folder), fleetKey)
  assert.equal((await readVoucherLedger(board.folder.path))?.stage, 'enrolled')
  assert.equal((await board.folder.record())?.name, 'sn1')
  assert.equal(await followVoucher(voucher, board), 'kept', 'the same again changes nothing')
  assert.equal(first.registry.devices.list().length, 1)
  assert.ok(board.floors.time.floor >= later(0), 'what the maker has signed tells the time')
})

test('a server that the voucher does not pin is sent no request: the board stays as it was', async (t) => {
  const { factory, first, second, board } = await scene(t)
  // The voucher gives the board to the first, and says that it answers where the second does.
  const lying = factory.signed(voucherFor(first, { api: [second.api.url] }))
  await assert.rejects(followVoucher(lying, board), { code: 'ca-mismatch' })
  assert.equal(await readVoucherLedger(board.folder.path), undefined)
  assert.equal(await board.folder.keys(suite), undefined, 'no key was made for it')
})

test('transfer: a newer voucher leads to the new owner; keys are new, and nothing of the old one is left', async (t) => {
  const { factory, first, second, board } = await scene(t)
  const { folder } = board
  const old = await own(first, factory, { fleetKey: suite.random(32) })
  await followVoucher(old, board)
  const before = (await folder.keys(suite))!
  for (const name of ['outbox.db', 'statements.json', 'networks.json']) writeFileSync(join(folder.path, name), 'the old owner’s')
  mkdirSync(join(folder.path, 'folder', 'in it'), { recursive: true })
  writeFileSync(join(folder.path, 'config.toml'), '')
  const newer = await own(second, factory, { createdOn: later(1_000) })
  assert.equal(await followVoucher(newer, board), 'enrolled')
  assert.ok(await isOf(board, second))
  const after = (await folder.keys(suite))!
  assert.notDeepEqual(after.identity.publicKey, before.identity.publicKey)
  assert.notDeepEqual(after.tunnel.publicKey, before.tunnel.publicKey)
  assert.equal(await readPin(folder), undefined)
  for (const name of ['outbox.db', 'statements.json', 'networks.json', 'folder'])
    assert.ok(!existsSync(join(folder.path, name)), name)
  assert.ok(existsSync(join(folder.path, 'config.toml')))
  assert.ok(existsSync(join(folder.path, 'idevid.key')))
  await assert.rejects(followVoucher(old, board), { code: 'voucher-replayed' }, 'the old owner does not get it back')
  assert.ok(await isOf(board, second))
  // The old owner buys it again.
  await assert.rejects(own(first, factory, { createdOn: later(2_000) }), { code: 'already-enrolled' })
  await first.registry.devices.revoke('sn1')
  await followVoucher(await own(first, factory, { createdOn: later(2_000) }), board)
  assert.ok(await isOf(board, first))
})

test('of a newer voucher of the same owner only the places are taken over; the identity stays', async (t) => {
  const { factory, first, board } = await scene(t)
  await followVoucher(await own(first, factory), board)
  const before = await board.folder.certificates()
  const moved = { api: ['https://moved.example:8443', first.api.url], addresses: ['192.0.2.7'] }
  const newer = factory.signed(voucherFor(first, { createdOn: later(5_000), ...moved }))
  assert.equal(await followVoucher(newer, board), 'kept')
  assert.deepEqual((await board.folder.record())?.api, moved.api)
  assert.deepEqual((await board.folder.record())?.addresses?.['moved.example'], moved.addresses)
  assert.deepEqual(await board.folder.certificates(), before)
  assert.equal((await readVoucherLedger(board.folder.path))?.createdOn, later(5_000))
})

test('nothing is left before the new owner answers, and nothing for a voucher that is refused', async (t) => {
  const { factory, first, second, board } = await scene(t)
  await followVoucher(await own(first, factory, { createdOn: later(1_000) }), board)
  const before = await board.folder.certificates()
  const unreachable = factory.signed(voucherFor(second, { createdOn: later(2_000), api: ['https://127.0.0.1:1'] }))
  const refused: [Uint8Array, string][] = [
    [unreachable, 'broker-unreachable'],
    [factory.signed(voucherFor(second)), 'voucher-replayed'],
    [factory.signed(voucherFor(second, { createdOn: later(1_000) })), 'voucher-doubled'],
    [factory.signed(voucherFor(second, { createdOn: later(2_000), serial: 'sn2' })), 'voucher-foreign'],
    [new BuiltFactory().signed(voucherFor(second, { createdOn: later(2_000) })), 'voucher-foreign'],
    [factory.signed(voucherFor(second, { createdOn: later(2_000), expiresOn: later(3_000) })), 'voucher-expired'],
  ]
  for (const [voucher, code] of refused) {
    await assert.rejects(followVoucher(voucher, board), { code }, code)
    assert.deepEqual(await board.folder.certificates(), before, code)
    assert.equal((await readVoucherLedger(board.folder.path))?.createdOn, later(1_000), code)
  }
})

test('an ended voucher is found out without a clock: the certificate of the owner’s broker begins after its end', async (t) => {
  const { factory, first, board } = await scene(t)
  const ended = factory.signed(voucherFor(first, { expiresOn: later(86_400_000) }))
  await assert.rejects(followVoucher(ended, board), { code: 'voucher-expired' })
  assert.equal(await readVoucherLedger(board.folder.path), undefined)
})

test('F-02 a power cut anywhere on the way to a new owner is mended by doing the same again', async (t) => {
  const { factory, first, second, board } = await scene(t)
  const { folder } = board
  await followVoucher(await own(first, factory), board)
  const voucher = await own(second, factory, { createdOn: later(1_000) })
  const signed = { createdOn: later(1_000), voucher, digest: '' }
  await followVoucher(voucher, board)
  const { digest } = (await readVoucherLedger(folder.path))!
  const whole = (await folder.certificates())!
  const cuts: Record<string, () => Promise<void>> = {
    'before anything was erased': () => writeVoucherLedger(folder.path, { ...signed, digest, stage: 'leaving' }),
    'after the erasing, before it was noted': async () => {
      await writeVoucherLedger(folder.path, { ...signed, digest, stage: 'leaving' })
      await leaveFleet(folder)
    },
    'before keys were made': async () => {
      await leaveFleet(folder)
      await writeVoucherLedger(folder.path, { ...signed, digest, stage: 'enrolling' })
    },
    'after keys were made': async () => {
      await leaveFleet(folder)
      await writeVoucherLedger(folder.path, { ...signed, digest, stage: 'enrolling' })
      await folder.makeKeys(suite)
    },
  }
  for (const [when, cut] of Object.entries(cuts)) {
    await second.registry.devices.revoke('sn1')
    await second.registry.vouchers.again('sn1', 'admin:test')
    await cut()
    await followVoucher(voucher, board)
    assert.ok(await isOf(board, second), when)
    assert.equal((await readVoucherLedger(folder.path))?.stage, 'enrolled', when)
  }
  // The certificate is there, and the last note is not.
  await writeVoucherLedger(folder.path, { ...signed, digest, stage: 'enrolling' })
  assert.equal(await followVoucher(voucher, board), 'kept')
  assert.equal((await readVoucherLedger(folder.path))?.stage, 'enrolled')
  assert.notDeepEqual(await folder.certificates(), whole)
})

test('a board whose device was revoked makes new keys when an operator gives leave', async (t) => {
  const { factory, first, board } = await scene(t)
  const voucher = await own(first, factory)
  await followVoucher(voucher, board)
  const before = (await board.folder.keys(suite))!
  await first.registry.devices.revoke('sn1')
  await first.registry.vouchers.again('sn1', 'admin:test')
  await leaveKeysOnly(board)
  assert.equal(await followVoucher(voucher, board), 'enrolled')
  assert.notDeepEqual((await board.folder.keys(suite))!.identity.publicKey, before.identity.publicKey)
})

/** As after a start that could not end: keys are there, an identity is not. */
async function leaveKeysOnly({ folder }: OwnerPorts): Promise<void> {
  for (const name of ['certificate.pem', 'ca.pem', 'agent.json'])
    for (const file of [name, `${name}.bak`]) await rm(join(folder.path, file), { force: true })
}

test('P-17 a voucher pins a root that its owner has retired since: the board walks to the present one, and stays home after', async (t) => {
  const { factory, first, second, board } = await scene(t)
  const { authority } = first
  const pinned = voucherFor(first)
  const sold = factory.signed(pinned)
  for (const step of ['prepared', 'trusted', 'issuing', 'retired', 'finished'] as const) {
    if (step === 'prepared') await authority.rotation.prepare('root')
    else await authority.rotation.advance('root', step)
    const asleep = await makeBoard(t, factory, `sn-${step}`)
    const other = await own(first, factory, { ...pinned, serial: `sn-${step}`, createdOn: later(0) })
    assert.equal(await followVoucher(other, asleep), 'enrolled', step)
    const identity = (await Identity.load(asleep.folder, { suite, clock: first.clock, log: silentLog }))!
    t.after(() => identity.close())
    await identity.followRoots(await identity.api().config())
    assert.deepEqual(await rootOf(asleep), Uint8Array.from(authority.rootDer), step)
  }
  assert.notDeepEqual(authority.rootDer, pinned.pinnedDomainCert)
  await own(first, factory, pinned)
  assert.equal(await followVoucher(sold, board), 'enrolled')
  assert.ok(await isOf(board, first), 'it trusts the present root alone')
  assert.equal(decodePem('CERTIFICATE', (await board.folder.certificates())!.root).length, 1)
  assert.equal(await followVoucher(sold, board), 'kept')

  const before = await board.folder.certificates()
  const newer = factory.signed({ ...pinned, createdOn: later(5_000), addresses: ['192.0.2.7'] })
  assert.equal(await followVoucher(newer, board), 'kept', 'another root of the same fleet is no other owner')
  assert.deepEqual(await board.folder.certificates(), before)
  const elsewhere = await own(second, factory, { createdOn: later(6_000) })
  assert.equal(await followVoucher(elsewhere, board), 'enrolled')
  assert.ok(await isOf(board, second))
})
