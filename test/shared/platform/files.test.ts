import assert from 'node:assert/strict'
import { chmod, link, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { AditError } from '#shared/errors.ts'
import {
  type FileFacts,
  type FilePort,
  type FilePortHandle,
  makePrivateDirectory,
  nodeFiles,
  readIfPresent,
  readSecret,
  removeDurably,
  storageError,
  writeDurably,
} from '#shared/platform/files.ts'
import { CrashingDisk, PowerCut } from '#test/shared/platform/crashing-disk.ts'

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'adit-files-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

const code = (expected: string) => (error: unknown) =>
  error instanceof AditError && error.code === expected && error.mend.length > 0

/** A handle of which some calls are replaced. */
const handleWith = (handle: FilePortHandle, replaced: Partial<FilePortHandle>): FilePortHandle => ({
  write: (data) => handle.write(data),
  chmod: (mode) => handle.chmod(mode),
  sync: () => handle.sync(),
  facts: () => handle.facts(),
  read: () => handle.read(),
  close: () => handle.close(),
  ...replaced,
})

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

test('P-32 secrets are made 0600 in folders of 0700, whatever the umask', async (t) => {
  const dir = await folder(t)
  const before = process.umask()
  t.after(() => process.umask(before))
  for (const umask of [0o000, 0o022, 0o077, 0o777]) {
    process.umask(umask)
    const state = join(dir, `a${umask}`, 'deep', 'state')
    await makePrivateDirectory(state)
    await writeDurably(join(state, 'key'), 'secret')
    assert.equal(await modeOf(state), 0o700, `folder under umask ${umask.toString(8)}`)
    assert.equal(await modeOf(join(dir, `a${umask}`)), 0o700)
    assert.equal(await modeOf(join(state, 'key')), 0o600, `file under umask ${umask.toString(8)}`)
  }
})

test('what opens a file to nobody else can be copied, whatever the file is called', async (t) => {
  const path = join(await folder(t), "pump's key")
  await writeFile(path, 'secret', { mode: 0o644 })
  const mend = await readSecret(path).catch((error: AditError) => error.mend)
  assert.equal(mend, `Run: chmod 600 '${path.replace("'", `'\\''`)}'`)
})

test('a disk that is mounted read-only is told as such: another user would not help', () => {
  const error = storageError(Object.assign(new Error('EROFS'), { code: 'EROFS' }), 'write', '/mnt/card/key')
  assert.deepEqual([error.code, /read-only/.test(error.message), /remount/.test(error.mend)], ['storage-failed', true, true])
})

test('P-32 any right of group or others refuses a secret: all 64 modes', async (t) => {
  const path = join(await folder(t), 'key')
  await writeFile(path, 'secret')
  for (let bits = 0; bits < 0o100; bits++) {
    await chmod(path, 0o600 | bits)
    if (bits === 0) assert.equal(Buffer.from((await readSecret(path))!).toString(), 'secret')
    else await assert.rejects(readSecret(path), code('permission-unsafe'), bits.toString(8))
  }
})

test('P-32 a folder that others reach is refused', async (t) => {
  const dir = await folder(t)
  for (const mode of [0o755, 0o750, 0o701, 0o770]) {
    await chmod(dir, mode)
    await assert.rejects(makePrivateDirectory(dir), code('permission-unsafe'), mode.toString(8))
  }
  await chmod(dir, 0o700)
  await makePrivateDirectory(dir)
})

test('A-47 symbolic links, second hard links, folders and strangers’ files are refused', async (t) => {
  const dir = await folder(t)
  const path = join(dir, 'key')
  await writeDurably(path, 'secret')
  await symlink(path, join(dir, 'symlink'))
  await assert.rejects(readSecret(join(dir, 'symlink')), code('permission-unsafe'))
  await link(path, join(dir, 'second'))
  await assert.rejects(readSecret(path), code('permission-unsafe'))
  await rm(join(dir, 'second'))
  await readSecret(path)
  await mkdir(join(dir, 'folder'), { mode: 0o700 })
  await assert.rejects(readSecret(join(dir, 'folder')), code('permission-unsafe'))
  await symlink(dir, join(dir, 'linked-folder'))
  await assert.rejects(makePrivateDirectory(join(dir, 'linked-folder')), code('permission-unsafe'))
  await assert.rejects(makePrivateDirectory(path), code('permission-unsafe'))
})

test('A-47 a file of another owner is refused', async (t) => {
  const path = join(await folder(t), 'key')
  await writeDurably(path, 'secret')
  const foreign = (facts: FileFacts): FileFacts => ({ ...facts, uid: facts.uid + 1 })
  const port: FilePort = {
    ...nodeFiles,
    lstat: async (name) => foreign(await nodeFiles.lstat(name)),
    open: async (...words) => {
      const handle = await nodeFiles.open(...words)
      return handleWith(handle, { facts: async () => foreign(await handle.facts()) })
    },
  }
  await assert.rejects(readSecret(path, port), code('permission-unsafe'))
  await assert.rejects(makePrivateDirectory(join(path, '..'), port), code('permission-unsafe'))
})

test('a write replaces a link instead of following it, and leaves no temporary file', async (t) => {
  const dir = await folder(t)
  await writeFile(join(dir, 'victim'), 'untouched')
  await symlink(join(dir, 'victim'), join(dir, 'key'))
  await writeDurably(join(dir, 'key'), 'secret')
  assert.equal(Buffer.from((await readIfPresent(join(dir, 'victim')))!).toString(), 'untouched')
  assert.equal(Buffer.from((await readSecret(join(dir, 'key')))!).toString(), 'secret')
  assert.deepEqual((await readdir(dir)).sort(), ['key', 'victim'])
})

test('what is not there is undefined, and removing it is fine', async (t) => {
  const dir = await folder(t)
  assert.equal(await readSecret(join(dir, 'none')), undefined)
  assert.equal(await readIfPresent(join(dir, 'none')), undefined)
  await removeDurably(join(dir, 'none'))
  await writeDurably(join(dir, 'some'), 'x')
  await removeDurably(join(dir, 'some'))
  assert.equal(await readIfPresent(join(dir, 'some')), undefined)
})

test('a full disk and a folder that is not there are sentences, and the old content stays', async (t) => {
  const dir = await folder(t)
  const path = join(dir, 'key')
  await writeDurably(path, 'old')
  const full: FilePort = {
    ...nodeFiles,
    open: async (...words) => {
      const handle = await nodeFiles.open(...words)
      const write = async () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }))
      return handleWith(handle, { write })
    },
  }
  await assert.rejects(writeDurably(path, 'new', {}, full), code('disk-full'))
  assert.equal(Buffer.from((await readSecret(path))!).toString(), 'old')
  assert.deepEqual(await readdir(dir), ['key'])
  await assert.rejects(writeDurably(join(dir, 'none', 'key'), 'x'), code('storage-failed'))
  await assert.rejects(writeDurably(join(dir, 'none', 'key'), 'x'), {
    message: `Cannot write ${dir}/none/key: there is no folder ${dir}/none.`,
  })
})

const oldContent = Buffer.from('the old content, whole')
const newContent = Buffer.from('the new content, which is longer than the old')

/** Runs `act` against a disk that dies before each of its operations in turn, and looks at every state that it may leave. */
async function everyCrash(
  act: (disk: CrashingDisk) => Promise<void>,
  prepare: (disk: CrashingDisk) => void,
  look: (names: Map<string, Uint8Array>, done: boolean) => void,
): Promise<number> {
  let states = 0
  for (let cut = 0; ; cut++) {
    const disk = new CrashingDisk(cut)
    prepare(disk)
    let done = true
    try {
      await act(disk)
    } catch (error) {
      assert.ok(error instanceof AditError ? error.cause instanceof PowerCut : error instanceof PowerCut, String(error))
      done = false
    }
    for (const names of disk.crashStates()) {
      look(names, done)
      states += 1
    }
    if (done) return states
  }
}

test('F-02 after a power cut at any instant a file is whole, old or new; once written it is new', async () => {
  const path = '/state/identity.key'
  const states = await everyCrash(
    (disk) => writeDurably(path, newContent, {}, disk),
    (disk) => disk.put(path, oldContent),
    (names, done) => {
      const found = Buffer.from(names.get(path) ?? [])
      if (done) assert.ok(found.equals(newContent), 'acknowledged and lost')
      else assert.ok(found.equals(oldContent) || found.equals(newContent), `torn: ${found.toString()}`)
    },
  )
  assert.ok(states >= 40, `${states} states`)
})

test('F-02 a file that is made is whole or not there', async () => {
  const path = '/state/identity.key'
  await everyCrash(
    (disk) => writeDurably(path, newContent, {}, disk),
    (disk) => disk.put('/state/other', oldContent),
    (names, done) => {
      const found = names.get(path)
      if (done || found !== undefined) assert.ok(Buffer.from(found ?? []).equals(newContent))
    },
  )
})

test('F-02 the disk model does find a write that is not synced', async () => {
  const path = '/state/key'
  let torn = 0
  const careless = async (disk: CrashingDisk): Promise<void> => {
    const handle = await disk.open('/state/tmp', 0o301, 0o600)
    await handle.write(newContent)
    await handle.close()
    await disk.rename('/state/tmp', path)
  }
  await everyCrash(
    careless,
    (disk) => disk.put(path, oldContent),
    (names) => {
      const found = Buffer.from(names.get(path) ?? [])
      if (!found.equals(oldContent) && !found.equals(newContent)) torn += 1
    },
  )
  assert.ok(torn > 0)
})
