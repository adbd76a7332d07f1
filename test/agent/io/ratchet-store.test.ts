import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { RatchetStore } from '#agent/io/ratchet-store.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { advance, announce, freshRatchet } from '#shared/enrolment/ratchet.ts'

const random = (length: number): Uint8Array => nativeSuite.random(length)

test('F-22 the ratchet is there twice, for its owner alone; one spoilt copy costs nothing, two are a fresh start', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-ratchet-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'ratchet')
  const store = new RatchetStore(path)
  const announced = announce(freshRatchet(random), random)
  await store.write({ state: announced })
  assert.deepEqual((await store.read(random)).state, announced)
  await store.write({ state: advance(announced), clone: 7 })
  const { state, clone } = await store.read(random)
  assert.deepEqual([state.step, state.present, state.next, clone], [1, announced.next, undefined, 7])
  for (const name of ['ratchet', 'ratchet.bak']) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600)

  for (const spoilt of ['', '{', '{"step":-1}', '{"step":1,"present":"AAAA"}', 'x'.repeat(100)]) {
    writeFileSync(path, spoilt, { mode: 0o600 })
    assert.deepEqual((await store.read(random)).state, state, JSON.stringify(spoilt))
  }
  writeFileSync(path, '{', { mode: 0o600 })
  writeFileSync(`${path}.bak`, '{', { mode: 0o600 })
  assert.equal((await store.read(random)).state.step, 0)
  assert.ok(readdirSync(folder).some((name) => name.startsWith('ratchet.corrupt-')))
})

test('A-45 an announced step stays the same until it is advanced', () => {
  const first = announce(freshRatchet(random), random)
  assert.deepEqual(announce(first, random), first)
  const second = announce(advance(first), random)
  assert.notDeepEqual(second.next, first.next)
  assert.deepEqual(second.present, first.next)
})
