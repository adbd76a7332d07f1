import assert from 'node:assert/strict'
import { type FileHandle, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { type Adoption, adopt, bootFolder } from '#agent/io/adopt.ts'
import { boardSerial, isCpuSerial } from '#agent/io/board-serial.ts'
import { readPin } from '#agent/io/fleet-keeper.ts'
import { Identity } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { bundleFile, encodeBundle, type UnitBundle } from '#shared/enrolment/unit-bundle.ts'
import { AditError, type ErrorCode } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { DeskInMemory } from '#test/agent/station/desk-in-memory.ts'

const desk = new DeskInMemory()
const bundleOf = async (serial: string): Promise<UnitBundle> => {
  await desk.open(serial, 'image')
  return desk.bundle(serial)
}
const cpu = '10000000a1b2c3d4'
const bundle = await bundleOf(cpu)
const bytes = encodeBundle(bundle, suite)

interface Board {
  readonly from: string
  readonly state: string
  readonly card: string
  adopt(board?: string): Promise<Adoption>
}

async function newBoard(content: Uint8Array | undefined = bytes): Promise<Board> {
  const root = await mkdtemp(join(tmpdir(), 'adit-adopt-'))
  test.after(() => rm(root, { recursive: true, force: true }))
  const [from, state] = [join(root, 'boot'), join(root, 'state')]
  await StateFolder.open(from)
  if (content) await writeFile(join(from, bundleFile), content)
  const adoptHere = async (board?: string): Promise<Adoption> =>
    adopt({ from, folder: await StateFolder.open(state), suite, board })
  return { from, state, card: join(from, bundleFile), adopt: adoptHere }
}

const refused = (code: ErrorCode, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AditError && error.code === code, String(error))
  assert.match(error.message, text)
  return true
}

async function checkEnrolled({ state, from }: Board, expected = bundle): Promise<void> {
  const folder = await StateFolder.open(state)
  const identity = await Identity.load(folder, { suite, clock: systemClock, log: silentLog })
  assert.ok(identity)
  assert.equal(identity.leaf.name, expected.name)
  assert.deepEqual(identity.record, {
    api: expected.api,
    name: expected.name,
    role: 'device',
    addresses: { 'broker.example.com': expected.addresses },
  })
  assert.equal(identity.keys.identityPem, expected.identityPem)
  assert.deepEqual(Uint8Array.from(identity.keys.tunnel.privateKey), expected.tunnelKey)
  assert.deepEqual(await readPin(folder), expected.fleetKey)
  identity.close()
  assert.deepEqual(await readdir(from), [], 'nothing is left on the card')
}

test('P-32 the bundle becomes an identity, 0600 in 0700, and is erased from the card', async () => {
  const board = await newBoard()
  assert.deepEqual(await board.adopt(cpu), { outcome: 'taken', name: bundle.name })
  await checkEnrolled(board)
  assert.equal((await stat(board.state)).mode & 0o777, 0o700)
  for (const name of await readdir(board.state)) assert.equal((await stat(join(board.state, name))).mode & 0o077, 0, name)
  assert.deepEqual(await board.adopt(cpu), { outcome: 'none' }, 'again is nothing')
})

test('the content goes before the name: whoever held the file open reads zeros', async () => {
  const board = await newBoard()
  const held: FileHandle = await open(board.card, 'r')
  await board.adopt()
  assert.ok((await held.readFile()).every((byte) => byte === 0))
  await held.close()
})

test('F-02 power cut after any file of the adoption: it is done again, and ends the same', async () => {
  // Every state between: the files that the whole adoption makes, in its order, up to one of them; and each torn bundle of the erasing.
  const whole = await newBoard()
  await whole.adopt()
  const order = ['tunnel.key', 'identity.key', 'fleet.key', 'agent.json', 'ca.pem', 'certificate.pem'].flatMap((name) => [
    name,
    `${name}.bak`,
  ])
  assert.deepEqual([...order].sort(), (await readdir(whole.state)).filter((name) => order.includes(name)).sort())
  for (let cut = 0; cut <= order.length; cut++) {
    const board = await newBoard()
    await StateFolder.open(board.state)
    for (const name of order.slice(0, cut))
      await writeFile(join(board.state, name), await readFile(join(whole.state, name)), { mode: 0o600 })
    // Something that was written durably but not yet renamed is nobody's.
    await writeFile(join(board.state, '.identity.key.1.tmp'), 'torn', { mode: 0o600 })
    const { outcome } = await board.adopt()
    // `certificate.pem` is the last thing that counts.
    assert.equal(outcome, cut > order.indexOf('certificate.pem') ? 'erased' : 'taken', `after ${cut} files`)
    await checkEnrolled(board)
  }
  for (let zeros = 0; zeros <= bytes.length; zeros += 512) {
    const board = await newBoard()
    await board.adopt()
    await writeFile(board.card, Buffer.from(bytes).fill(0, 0, zeros))
    assert.equal((await board.adopt()).outcome, 'erased', `erased as far as ${zeros}`)
    await checkEnrolled(board)
  }
})

test('a torn bundle on a board without identity is kept, and said', async () => {
  const board = await newBoard(Buffer.from(bytes).fill(0, 1000))
  await assert.rejects(board.adopt(), refused('bundle-damaged', /hash does not fit/))
  assert.deepEqual(await readdir(board.from), [bundleFile])
  await writeFile(board.card, bytes)
  await writeFile(join(board.from, `.${bundleFile}.4.x1.tmp`), 'half a bundle')
  assert.equal((await board.adopt()).outcome, 'taken')
  await checkEnrolled(board)
})

test("another board's card is refused where both tell their CPU, and left as it is; a scanned number is not compared", async () => {
  const board = await newBoard()
  await assert.rejects(board.adopt('10000000ffffffff'), refused('serial-mismatch', /for the board 10000000a1b2c3d4/))
  assert.deepEqual(await readFile(board.card), Buffer.from(bytes))
  assert.equal((await board.adopt('pc-motherboard-7')).outcome, 'taken')
  const scanned = await newBoard(encodeBundle(await bundleOf('label-77'), suite))
  assert.equal((await scanned.adopt(cpu)).outcome, 'taken')
})

test('a board that is somebody already takes no other identity', async () => {
  const board = await newBoard()
  await board.adopt()
  const other = encodeBundle(await bundleOf('label-78'), suite)
  await writeFile(board.card, other)
  await assert.rejects(board.adopt(), refused('already-enrolled', /enrolled already/))
  assert.deepEqual(await readFile(board.card), Buffer.from(other), 'it is somebody else’s only copy')
})

test('keys of an enrolment that never ended give way; an identity that does not hold together is refused', async () => {
  const board = await newBoard()
  await (await StateFolder.open(board.state)).makeKeys(suite)
  assert.equal((await board.adopt()).outcome, 'taken')
  await checkEnrolled(board)

  const stranger = new DeskInMemory()
  const wrong: [Partial<UnitBundle>, RegExp][] = [
    [{ root: stranger.rootPem }, /no path leads|signature/],
    [{ tunnelKey: suite.x25519.generate().privateKey }, /another tunnel key/],
    [{ identityPem: (await bundleOf('label-79')).identityPem }, /another identity key/],
    [{ chain: bundle.chain.slice(0, bundle.chain.indexOf('-----END') + 25) }, /no path leads/],
    [{ chain: desk.identity().chainPem }, /purpose/],
  ]
  for (const [change, reason] of wrong) {
    const untouched = await newBoard(encodeBundle({ ...bundle, ...change }, suite))
    await assert.rejects(untouched.adopt(), refused('certificate-refused', reason))
    assert.deepEqual(await readdir(untouched.state), [], 'nothing was written')
    assert.deepEqual(await readdir(untouched.from), [bundleFile])
  }
})

test('no bundle is no adoption', async () => {
  const board = await newBoard(undefined)
  await rm(board.from, { recursive: true })
  assert.deepEqual(await board.adopt(), { outcome: 'none' })
  assert.match(bootFolder(), /^\/boot/)
})

test('a board tells its serial number where its firmware does, in lower case, and no number of zeros', async () => {
  const root = await mkdtemp(join(tmpdir(), 'adit-board-'))
  test.after(() => rm(root, { recursive: true, force: true }))
  const put = async (path: string, text: string): Promise<void> => {
    await import('node:fs/promises').then(({ mkdir }) => mkdir(join(root, path, '..'), { recursive: true }))
    await writeFile(join(root, path), text)
  }
  assert.equal(await boardSerial(root), undefined)
  await put('sys/class/dmi/id/product_serial', 'To be filled by O.E.M.\n')
  assert.equal(await boardSerial(root), undefined)
  await put('sys/class/dmi/id/product_serial', 'PF-3X77\n')
  assert.equal(await boardSerial(root), 'pf-3x77')
  await put('proc/cpuinfo', 'processor\t: 0\nModel\t\t: x\nSerial\t\t: 00000000A1B2C3D4\n')
  assert.equal(await boardSerial(root), '00000000a1b2c3d4')
  await put('proc/device-tree/serial-number', '10000000a1b2c3d4\0')
  assert.equal(await boardSerial(root), '10000000a1b2c3d4')
  await put('proc/device-tree/serial-number', '0000000000000000\0')
  assert.equal(await boardSerial(root), '00000000a1b2c3d4')
  assert.ok(isCpuSerial(cpu) && !isCpuSerial('pf-3x77') && !isCpuSerial(cpu.toUpperCase()))
})
