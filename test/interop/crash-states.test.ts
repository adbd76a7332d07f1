import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { type Database, openDatabase } from '#shared/platform/sqlite.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import { type CrashState, crashStates } from '#test/interop/crash-states.ts'
import { readTrace, tracedCalls } from '#test/interop/disk-trace.ts'

/** States cost a few files each: they live in memory where the machine lets them. */
const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'adit-crash-'))
after(() => rmSync(root, { recursive: true }))

const fewestStates = 2_000
const child = join(import.meta.dirname, 'crash-store-child.ts')

/** Whether what the promise says is in the database; `all` has every promise up to the cut. */
type Holds = (database: Database, promise: string[], all: readonly string[]) => Promise<boolean>

const holds: Record<string, Holds> = {
  readings: async (database, [boot = '']) =>
    (await number(database, 'SELECT count(*) AS n FROM telemetry WHERE boot = ?', Number(boot))) === 12 &&
    (await number(database, 'SELECT count(*) AS n FROM arrivals WHERE boot = ? AND readings = 12', Number(boot))) === 1,
  claim: async (database, [id = '', used = '']) =>
    (await number(database, 'SELECT count(*) AS n FROM claims WHERE id = ? AND used >= ?', id, Number(used))) === 1,
  principal: async (database, [name = '']) =>
    (await number(database, 'SELECT count(*) AS n FROM principals WHERE name = ?', name)) === 1,
  rows: async (database, [boot = '', first = '', last = ''], all) => {
    const removed = all.flatMap((text) => (text.startsWith(`ack removing ${boot} `) ? [Number(text.split(' ')[3])] : []))
    if (Number(last) <= Math.max(0, ...removed)) return true
    const from = Number(first)
    return (
      (await number(
        database,
        'SELECT count(*) AS n FROM reading WHERE boot = ? AND seq BETWEEN ? AND ?',
        Number(boot),
        from,
        Number(last),
      )) === 12
    )
  },
  removing: async () => true,
}

for (const store of ['registry', 'outbox']) {
  test(`P-22 F-01 F-22 every crash state of the ${store} is whole and has everything that was acknowledged`, async (t) => {
    const folder = join(root, store)
    mkdirSync(folder, { mode: 0o700 })
    runChild(store, 'prepare', folder)
    const base = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]))
    const operations = readTrace(runChild(store, 'work', folder), folder).filter(
      (operation) => !('file' in operation) || !operation.file.endsWith('-shm'),
    )
    assert.ok(operations.filter(({ kind }) => kind === 'sync').length > 50, 'the run synced')
    assert.ok(
      operations.some((operation) => operation.kind === 'write' && operation.file === 'adit.db'),
      'the run moved its log',
    )
    const random = new SeededRandom(22)
    let states = 0
    let kept = 0
    for (const state of crashStates(base, operations, 2, () => random.next())) {
      kept += await judge(state, join(root, 'state'))
      states += 1
    }
    assert.ok(states >= fewestStates, `${states} states`)
    t.diagnostic(`${operations.length} operations, ${states} crash states, ${kept} promises looked up`)
    // The judge must be able to find a loss: a store that never synced its log would have lost something.
    const unsynced = operations.filter((operation) => operation.kind !== 'sync' || operation.file !== 'adit.db-wal')
    await assert.rejects(async () => {
      for (const state of crashStates(base, unsynced, 0, () => random.next())) await judge(state, join(root, 'state'))
    }, /lost: ack/)
  })
}

/** Opens the state as the program would, and looks every promise up. Returns how many there were. */
async function judge({ files, promises, story }: CrashState, folder: string): Promise<number> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  for (const [name, content] of files) writeFileSync(join(folder, name), content, { mode: 0o600 })
  const database = await openDatabase(join(folder, 'adit.db'))
  try {
    const checks = await database.read<{ integrity_check: string }>('PRAGMA integrity_check')
    assert.deepEqual(
      checks.map((row) => row.integrity_check),
      ['ok'],
      story,
    )
    // The last dozen and every tenth before them: the older ones lie in pages that later commits have proved many times.
    const asked = promises.filter((_, at) => at >= promises.length - 12 || at % 10 === 0)
    for (const text of asked) {
      const [, kind = '', ...words] = text.split(' ')
      assert.ok(await holds[kind]?.(database, words, promises), `lost: ${text}; ${story}`)
    }
    return asked.length
  } finally {
    await database.close()
  }
}

/** Runs the child; with `work` under strace, whose log it returns. */
function runChild(store: string, step: 'prepare' | 'work', folder: string): string {
  const log = join(root, `${store}.strace`)
  const node = [process.execPath, '--import', 'tsx', child, store, step, folder]
  const strace = ['strace', '-f', '-y', '-xx', '-s', '200000', '-e', `trace=${tracedCalls}`, '-o', log]
  const [command = '', ...args] = step === 'work' ? [...strace, ...node] : node
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', cwd: join(import.meta.dirname, '../..') })
  assert.equal(status, 0, stderr)
  return step === 'work' ? readFileSync(log, 'latin1') : ''
}

async function number(database: Database, sql: string, ...parameters: (string | number)[]): Promise<number> {
  return (await database.read<{ n: number }>(sql, parameters))[0]?.n ?? 0
}
