import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { version } from '#shared/platform/version.ts'

const program = join(import.meta.dirname, '../../../agent/bin/adit-agent.js')

/** Runs `adit-agent` to its end. */
const run = (...words: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [program, ...words], (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : error.code, stdout, stderr }),
    )
  })

test('it says its version', async () => {
  assert.deepEqual(await run('--version'), { status: 0, stdout: `${version}\n`, stderr: '' })
})

test('a folder that is not enrolled is named as such, and one that is not there is not made', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'adit-agent-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const absent = join(folder, 'absent')
  for (const verb of ['status', 'run'])
    for (const state of [absent, folder]) {
      const { status, stdout, stderr } = await run(verb, '--state', state, '--json')
      assert.deepEqual([status, stdout, JSON.parse(stderr).error], [4, '', 'not-enrolled'], `${verb} ${state}`)
    }
  assert.ok(!existsSync(absent))
})
