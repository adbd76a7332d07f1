import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { after } from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import { canStation, openCanned } from '#test/agent/station/canned-station.ts'
import { type CrashState, crashStates } from '#test/interop/crash-states.ts'
import { readTrace, tracedCalls } from '#test/interop/disk-trace.ts'
import { identityFromPem } from '#test/interop/unit-keys.ts'

const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'adit-line-'))
after(() => rmSync(root, { recursive: true }))

const child = join(import.meta.dirname, 'station-ledger-child.ts')
const units = 24
const can = canStation(100)
const canned = join(root, 'can.json')
writeFileSync(canned, JSON.stringify(can))
/** Cuts that issue 6 asks for. */
const fewestCuts = 1_000

test('A-46 F-01 F-02 a thousand random power cuts in a batch: no unit is lost, none is doubled, the ledger verifies', async (t) => {
  const folder = join(root, 'line')
  mkdirSync(folder, { mode: 0o700 })
  runChild('prepare', folder)
  const base = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]))
  const operations = readTrace(runChild('work', folder), folder).filter(
    (operation) => !('file' in operation) || !operation.file.endsWith('-shm'),
  )
  const random = new SeededRandom(46)
  let cuts = 0
  let promises = 0
  // More mixtures where the run had few operations: commits are shared, so that their number is the machine's.
  const mixtures = Math.max(2, Math.ceil(fewestCuts / operations.length))
  for (const state of crashStates(base, operations, mixtures, () => random.next())) {
    promises += await judge(state, join(root, 'state'))
    cuts += 1
  }
  t.diagnostic(`${operations.length} operations, ${cuts} power cuts, ${promises} promises looked up: 0 lost, 0 doubled`)
  assert.ok(cuts >= fewestCuts, `${cuts} cuts`)
  // The judge must be able to find a loss.
  const unsynced = operations.filter((operation) => operation.kind !== 'sync' || operation.file !== 'ledger.db-wal')
  await assert.rejects(async () => {
    for (const state of crashStates(base, unsynced, 0, () => random.next())) await judge(state, join(root, 'state'))
  })
})

test('F-22 a station that is killed again and again in its batch ends it with one certificate a unit', async () => {
  const folder = join(root, 'killed')
  mkdirSync(folder, { mode: 0o700 })
  const random = new SeededRandom(22)
  const said: string[] = []
  for (let round = 0; round < 12; round += 1) await killedRound(folder, said, 1 + Math.floor(random.next() * 14))
  runChild('prepare', folder)
  await conclude(folder, said, 'killed')
})

/** Opens what a cut has left, holds it against the promises, ends the batch, and proves the whole. */
async function judge({ files, promises, story }: CrashState, folder: string): Promise<number> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  for (const [name, content] of files) writeFileSync(join(folder, name), content, { mode: 0o600 })
  await conclude(folder, promises, story)
  return promises.length
}

async function conclude(folder: string, promises: readonly string[], story: string): Promise<void> {
  const { desk, ledger, prove } = await openCanned(can, join(folder, 'ledger.db'))
  try {
    await prove()
    const certificates = new Map<string, string>()
    for (const text of promises) {
      const [, kind, serial = '', value = ''] = text.split(' ')
      const record = await desk.record(serial)
      assert.ok(record, `lost: ${text}; ${story}`)
      if (kind === 'opened') assert.equal(record.name, value, story)
      if (kind === 'issued') assert.equal(record.spkiSha256?.slice(0, 16), value, `doubled: ${text}; ${story}`)
      if (kind === 'delivered') assert.equal(record.step, 'delivered', `lost: ${text}; ${story}`)
      if (kind === 'delivered') assert.equal(record.certificateSerial, value, `doubled: ${text}; ${story}`)
      if (record.certificateSerial !== undefined) certificates.set(serial, record.certificateSerial)
    }
    const serials = Array.from({ length: units }, (_, n) => `board-${n + 1}`)
    await Promise.all(serials.map((serial) => again(serial, certificates.get(serial))))
    const proof = await prove()
    assert.deepEqual([proof.units, proof.certificates, proof.delivered], [units, units, units], story)
  } finally {
    await ledger.close()
  }

  async function again(serial: string, certificate: string | undefined): Promise<void> {
    if ((await desk.open(serial, 'image')).step === 'delivered') return
    const { identityPem } = await desk.bundle(serial)
    const record = await desk.delivered(serial, 'read back')
    assert.equal(record.spkiSha256, toHex(nativeSuite.hash('sha256', identityFromPem(identityPem))), story)
    if (certificate !== undefined) assert.equal(record.certificateSerial, certificate, `doubled: ${serial}; ${story}`)
  }
}

/** Runs the child; with `work` under strace, whose log it returns. */
function runChild(step: 'prepare' | 'work', folder: string): string {
  const log = join(root, 'line.strace')
  const node = [process.execPath, '--import', 'tsx', child, step, folder, canned, String(units)]
  const strace = ['strace', '-f', '-y', '-xx', '-s', '200000', '-e', `trace=${tracedCalls}`, '-o', log]
  const [command = '', ...args] = step === 'work' ? [...strace, ...node] : node
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', cwd: join(import.meta.dirname, '../..') })
  assert.equal(status, 0, stderr)
  return step === 'work' ? readFileSync(log, 'latin1') : ''
}

/** kill -9 after so many promises; what was said is kept. */
async function killedRound(folder: string, said: string[], after: number): Promise<void> {
  const running = spawn(process.execPath, ['--import', 'tsx', child, 'work', folder, canned, String(units)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: join(import.meta.dirname, '../..'),
  })
  const gone = new Promise((resolve) => running.once('exit', resolve))
  let heard = 0
  for await (const line of createInterface({ input: running.stdout })) {
    said.push(line)
    heard += 1
    if (heard === after) running.kill('SIGKILL')
  }
  await gone
}
