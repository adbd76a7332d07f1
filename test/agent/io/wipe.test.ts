import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { beginWipe, carryOutWipe, endWipe, readWipe, type WipePort, wipeMarkerName } from '#agent/io/wipe.ts'
import { eraseDurably } from '#shared/platform/erase-file.ts'

const secrets = ['identity.key', 'identity.key.bak', 'tunnel.key', 'certificate.pem', 'ca.pem', 'agent.json', 'fleet.key']
const others = [
  'statements.json',
  'outbox.db',
  'outbox.db-wal',
  'networks.json',
  'config.toml',
  '.identity.key.12.x.tmp',
  'ratchet',
]
const kept = ['lock.db', 'idevid.key', 'idevid.pem', 'factory.pem']

/** A state folder as an agent leaves it, with a folder in it. */
function stateFolder(t: TestContext): string {
  const state = mkdtempSync(join(tmpdir(), 'adit-wipe-'))
  t.after(() => rmSync(state, { recursive: true, force: true }))
  for (const name of [...secrets, ...others, ...kept, 'floor', 'floor.bak'])
    writeFileSync(join(state, name), `old fleet: ${name}`, { mode: 0o600 })
  mkdirSync(join(state, 'spool'))
  writeFileSync(join(state, 'spool', 'reading'), 'old fleet')
  return state
}

class PowerCut extends Error {
  readonly isCut = true
}

/** The disk, whose power is cut before its nth change, or in the middle of it where it can be torn. */
function cutDisk(after: number, torn: boolean): WipePort {
  let changes = 0
  const change = async (path: string, work: () => void | Promise<void>): Promise<void> => {
    changes++
    if (changes > after) {
      // An erasure that was cut short: overwritten, and still there.
      if (torn && changes === after + 1 && existsSync(path) && basename(path) !== wipeMarkerName && basename(path) !== 'spool')
        writeFileSync(path, '\0\0\0')
      throw new PowerCut('the power is gone')
    }
    await work()
  }
  return {
    read: async (path) => (existsSync(path) ? Uint8Array.from(readFileSync(path)) : undefined),
    write: (path, data) => change(path, () => writeFileSync(path, data, { mode: 0o600 })),
    list: async (path) => readdirSync(path),
    erase: (path) => change(path, () => (basename(path) === 'spool' ? rmSync(path, { recursive: true }) : eraseDurably(path))),
    remove: (path) => change(path, () => rmSync(path, { force: true })),
  }
}

const whole = Number.POSITIVE_INFINITY

test('a wipe leaves nothing of the fleet, reports while the key is there, and keeps what the maker gave', async (t) => {
  const state = stateFolder(t)
  await beginWipe(state, { id: 'ab'.repeat(16) })
  let reported = 0
  const result = await carryOutWipe(state, async (marker) => {
    reported++
    assert.ok(existsSync(join(state, 'identity.key')))
    assert.deepEqual(marker.left, [])
    // Whatever is no use for the report is gone before it.
    for (const name of others) assert.equal(existsSync(join(state, name)), false, name)
    assert.equal(existsSync(join(state, 'fleet.key')), false)
  })
  assert.deepEqual(result, {})
  assert.equal(reported, 1)
  assert.deepEqual(readdirSync(state).sort(), [...kept].sort())
  assert.equal(await carryOutWipe(state, async () => assert.fail()), undefined, 'nothing is left to do')
})

test('a broker that does not answer is asked again, and the key stays until it has', async (t) => {
  const state = stateFolder(t)
  await beginWipe(state, { id: '1' })
  for (const tries of [1, 2, 3]) {
    await assert.rejects(carryOutWipe(state, () => Promise.reject(new Error('unreachable'))))
    assert.deepEqual([(await readWipe(state))?.stage, (await readWipe(state))?.tries], ['reporting', tries])
    assert.ok(existsSync(join(state, 'identity.key')))
  }
  await carryOutWipe(state, async () => {})
  assert.equal(existsSync(join(state, 'identity.key')), false)
})

test('the power fails at every write of a wipe and of a transfer: the next start ends it, and never before the report', async (t) => {
  let cuts = 0
  for (const next of [undefined, 'adit-claim-of-the-next-owner']) {
    for (const torn of [false, true]) {
      for (let after = 0; ; after++) {
        const state = stateFolder(t)
        await beginWipe(state, { id: '1', ...(next !== undefined && { next }) })
        let heard = false
        const report = async (): Promise<void> => {
          assert.ok(existsSync(join(state, 'identity.key')), `cut after ${after}: the key died before its last word`)
          heard = true
        }
        const done = await carryOutWipe(state, report, cutDisk(after, torn)).then(
          () => true,
          (error) => {
            assert.ok(error instanceof PowerCut, String(error))
            return false
          },
        )
        if (!done) cuts++
        // What a new start does.
        if (!done) assert.deepEqual(await carryOutWipe(state, report, cutDisk(whole, false)), next === undefined ? {} : { next })
        assert.ok(heard)
        const left = next === undefined ? kept : [...kept, 'floor', 'floor.bak', wipeMarkerName]
        assert.deepEqual(readdirSync(state).sort(), [...left].sort(), `cut after ${after}`)
        if (next !== undefined) {
          assert.equal((await readWipe(state))?.stage, 'moving')
          // New keys that a cut enrolment has made are not taken for old ones.
          writeFileSync(join(state, 'identity.key'), 'new', { mode: 0o600 })
          assert.deepEqual(await carryOutWipe(state, async () => assert.fail()), { next })
          assert.equal(readFileSync(join(state, 'identity.key'), 'utf8'), 'new')
          await endWipe(state)
          assert.equal(await readWipe(state), undefined)
        }
        rmSync(state, { recursive: true, force: true })
        if (done) break
      }
    }
  }
  t.diagnostic(`${cuts} cuts`)
  assert.ok(cuts > 60)
})

test('a marker that cannot be read is an order all the same', async (t) => {
  const state = stateFolder(t)
  writeFileSync(join(state, wipeMarkerName), 'spoilt', { mode: 0o600 })
  await carryOutWipe(state, async () => assert.fail('nobody knows which order to report'))
  assert.deepEqual(readdirSync(state).sort(), [...kept].sort())
})
