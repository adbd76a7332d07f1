import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { lockFolder } from '#shared/platform/lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'adit-lock-'))
after(() => rmSync(folder, { recursive: true }))

test('a second holder is refused by a sentence that names the folder and the process', async () => {
  const lock = await lockFolder(folder, 'a test')
  await assert.rejects(lockFolder(folder, 'another'), (error: { code: string; message: string }) => {
    assert.equal(error.code, 'state-locked')
    assert.match(error.message, new RegExp(`${folder} is in use by process ${process.pid} \\(a test\\)`))
    return true
  })
  await lock.release()
  await lock.release()
  await (await lockFolder(folder, 'another')).release()
})

test('F-22 kill -9 gives the folder back at once', async () => {
  const module = join(import.meta.dirname, '../../../shared/platform/lock.ts')
  const script = `import { lockFolder } from ${JSON.stringify(module)}; await lockFolder(${JSON.stringify(folder)}, 'child'); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await assert.rejects(lockFolder(folder, 'parent'), {
    code: 'state-locked',
    message: new RegExp(`process ${child.pid} \\(child\\)`),
  })
  child.kill('SIGKILL')
  await once(child, 'exit')
  const lock = await lockFolder(folder, 'parent')
  await lock.release()
})
