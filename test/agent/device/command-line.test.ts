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

test('A-77 escape codes in what was typed are shown, never obeyed', async () => {
  for (const words of [
    ['status', '--state', '/x/\u001b[31m'],
    ['run', '--state', '/x', '--service', '\u001b[31m'],
    ['\u001b[31m'],
  ]) {
    const { stderr } = await run(...words)
    assert.match(stderr, /^adit-agent: .*\\u\{1b\}\[31m/, words.join(' '))
    assert.ok(!stderr.includes('\u001b'), words.join(' '))
  }
})

test('an empty name is no folder, and least of all the one that somebody happens to stand in', async () => {
  const { status, stderr } = await run('status', '--state', '', '--json')
  assert.deepEqual([status, JSON.parse(stderr).error], [2, 'usage'])
})

test('the command that is told can be copied, whatever the folder is called', async (t) => {
  const folder = join(await mkdtemp(join(tmpdir(), 'adit-agent-')), "pump's state")
  t.after(() => rm(join(folder, '..'), { recursive: true, force: true }))
  const { stderr } = await run('status', '--state', folder, '--json')
  const mend: string = JSON.parse(stderr).mend
  assert.ok(mend.endsWith(`--state '${folder.replace("'", `'\\''`)}'`), mend)
})
