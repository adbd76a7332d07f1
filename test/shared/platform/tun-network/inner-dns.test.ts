import assert from 'node:assert/strict'
import { chmod, lstat, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { isAditError } from '#shared/errors.ts'
import { type Log, silentLog } from '#shared/platform/log.ts'
import { InnerDns } from '#shared/platform/tun-network/inner-dns.ts'
import { Ledger } from '#shared/platform/tun-network/ledger.ts'
import { TunNetwork } from '#shared/platform/tun-network/tun-network.ts'

const servers = ['fd12::53', '100.64.0.1']
const theirs = 'nameserver 192.168.7.1\nsearch lan\n'

test('without systemd-resolved the file is replaced and put back as it was: a file with its mode, a link, nothing', async (t) => {
  const makers: readonly ((path: string) => Promise<void>)[] = [
    async (path) => {
      await writeFile(path, theirs)
      await chmod(path, 0o640)
    },
    (path) => symlink('../run/resolv.conf', path),
    async () => {},
  ]
  for (const make of makers) {
    const { dns, ledger, path, etc } = await bed(t)
    await make(path)
    const before = await shown(path)
    await dns.force('adit0', servers)
    const now = await readFile(path, 'utf8')
    assert.deepEqual(
      now.split('\n').filter((line) => !line.startsWith('#')),
      ['nameserver fd12::53', 'nameserver 100.64.0.1', ''],
    )
    assert.equal((await lstat(path)).mode & 0o777, 0o644, 'everybody asks for names')
    await dns.release('adit0', (await ledger.read())?.resolvConf)
    assert.deepEqual(await shown(path), before)
    assert.deepEqual(await readdir(etc), before === undefined ? [] : ['resolv.conf'])
  }
})

test('other servers later: what was there at first comes back', async (t) => {
  const { dns, ledger, path } = await bed(t)
  await writeFile(path, theirs)
  await dns.force('adit0', servers)
  await dns.force('adit0', ['fd12::54'])
  assert.match(await readFile(path, 'utf8'), /fd12::54/)
  await dns.release('adit0', (await ledger.read())?.resolvConf)
  assert.equal(await readFile(path, 'utf8'), theirs)
})

test('what somebody else has put there meanwhile stays, and is told of', async (t) => {
  const warnings: string[] = []
  const { dns, ledger, path } = await bed(t, {
    log: { ...silentLog, warn: (_: object, text: string) => warnings.push(text) } as unknown as Log,
  })
  await writeFile(path, theirs)
  await dns.force('adit0', servers)
  await writeFile(path, 'nameserver 10.0.0.1\n')
  await dns.release('adit0', (await ledger.read())?.resolvConf)
  assert.equal(await readFile(path, 'utf8'), 'nameserver 10.0.0.1\n')
  assert.match(warnings.join(), /another program has replaced/)
})

test('that no name server is known inside is told once, however often the network is set', async (t) => {
  const warnings: string[] = []
  const { dns, etc } = await bed(t, { log: { ...silentLog, warn: (text: string) => warnings.push(text) } as unknown as Log })
  await dns.force('adit0', [])
  await dns.force('adit0', [])
  assert.deepEqual([warnings.length, await readdir(etc)], [1, []])
})

test('the ledger is on disk before the file is touched, and says enough where a kill came between', async (t) => {
  const { dns, ledger, path, state } = await bed(t)
  await writeFile(path, theirs)
  await dns.force('adit0', servers)
  const entry = (await ledger.read())!
  assert.equal((await lstat(join(state, 'tun-network.json'))).mode & 0o777, 0o600)
  // As if it had never come to the second step, or had ended in the middle of it.
  await writeFile(path, theirs)
  await chmod(path, 0o644)
  await writeFile(join(path, '..', '.resolv.conf.adit'), 'half')
  await dns.release('adit0', entry.resolvConf)
  assert.equal(await readFile(path, 'utf8'), theirs)
  assert.deepEqual(await readdir(join(path, '..')), ['resolv.conf'])
})

test('systemd-resolved gets the servers and all domains; its stub in resolv.conf stays, another content does not', async (t) => {
  for (const [content, replaced] of [
    ['nameserver 127.0.0.53\noptions edns0\n', false],
    [theirs, true],
  ] as const) {
    const { dns, ledger, path, asked } = await bed(t, { resolvectl: 'exit 0' })
    await writeFile(path, content)
    await dns.force('adit0', servers)
    assert.deepEqual((await asked()).slice(1), ['dns adit0 fd12::53 100.64.0.1', 'domain adit0 ~.', 'default-route adit0 yes'])
    assert.equal((await readFile(path, 'utf8')) !== content, replaced)
    await dns.release('adit0', (await ledger.read())?.resolvConf)
    assert.equal((await asked()).at(-1), 'revert adit0')
    assert.equal(await readFile(path, 'utf8'), content)
  }
})

test('systemd-resolved that refuses us is named, with what allows it', async (t) => {
  const { dns, path } = await bed(t, { resolvectl: '[ $# = 1 ] || { echo "Interactive authentication required." >&2; exit 1; }' })
  await writeFile(path, 'nameserver 127.0.0.53\n')
  await assert.rejects(
    dns.force('adit0', servers),
    (error) =>
      isAditError(error) &&
      error.code === 'permission-missing' &&
      /Interactive auth/.test(error.message) &&
      /polkit/.test(error.mend),
  )
})

test('a ledger of another version is refused, not guessed at; no ledger is nothing to undo', async (t) => {
  const { state, ledger } = await bed(t)
  assert.equal(await TunNetwork.recover({ folder: state, log: silentLog }), false)
  await writeFile(join(state, 'tun-network.json'), '{"version":2}', { mode: 0o600 })
  await assert.rejects(ledger.read(), /tun-network\.json is not what this version/)
})

async function bed(t: TestContext, { log = silentLog, resolvectl }: { log?: Log; resolvectl?: string } = {}) {
  const [state, etc] = [await mkdtemp(join(tmpdir(), 'adit-state-')), await mkdtemp(join(tmpdir(), 'adit-etc-'))]
  t.after(() => Promise.all([state, etc].map((folder) => rm(folder, { recursive: true }))))
  const program = join(state, 'resolvectl')
  if (resolvectl !== undefined) await writeFile(program, `#!/bin/sh\necho "$@" >>"$0.asked"\n${resolvectl}\n`, { mode: 0o755 })
  const path = join(etc, 'resolv.conf')
  const ledger = new Ledger(state)
  const asked = async (): Promise<string[]> => (await readFile(`${program}.asked`, 'utf8')).trim().split('\n')
  return { dns: new InnerDns({ ledger, log, resolvConf: path, resolvectl: program }), ledger, path, etc, state, asked }
}

/** Undefined where there is nothing. */
async function shown(path: string): Promise<string | undefined> {
  const facts = await lstat(path).catch(() => undefined)
  if (facts === undefined) return undefined
  return facts.isSymbolicLink() ? `-> ${await readlink(path)}` : `${facts.mode.toString(8)} ${await readFile(path, 'utf8')}`
}
