import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { describeStanding, heldAs, member, standingIn } from '#agent/device/standing.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { beginWipe } from '#agent/io/wipe.ts'

test('the folder says who waits for a person, and who is about to be wiped, also where no agent answers', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'adit-standing-'))
  t.after(() => rm(folder, { recursive: true }))
  assert.equal(await standingIn(folder), undefined)
  const state = await StateFolder.open(folder)
  await state.keepClaim('adit1-token')
  assert.deepEqual(await standingIn(folder), { state: 'waiting', clone: null, order: null })
  await beginWipe(folder, { id: 'ab12' })
  assert.deepEqual(await standingIn(folder), { state: 'wiping', clone: null, order: 'ab12' }, 'whatever else is there')
})

test('a person is told what is unusual, and nothing else', () => {
  assert.equal(describeStanding(member), undefined)
  assert.match(describeStanding(heldAs(7)) ?? '', /copy of another device.*clones grant 7 /)
  assert.match(describeStanding({ ...member, state: 'waiting' }) ?? '', /enrolments list/)
  assert.match(describeStanding({ ...member, state: 'wiping', order: 'ab12' }) ?? '', /wiped by order ab12/)
})
