import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { version } from '#shared/platform/version.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'

const program = join(import.meta.dirname, '../../../agent/bin/adit.js')

interface Outcome {
  status: number | null
  stdout: string
  stderr: string
}

interface Desk {
  fixture: ApiFixture
  state: string
  token(name: string, admin?: boolean): Promise<string>
  adit(...words: string[]): Promise<Outcome>
  start(...words: string[]): ChildProcess
}

/** A broker's API in this process, and the program in others, with a state folder of its own. */
async function desk(t: TestContext): Promise<Desk> {
  // The programs run on the machine's clock.
  const fixture = await ApiFixture.open(t, Date.now())
  const folder = await mkdtemp(join(tmpdir(), 'adit-operator-'))
  const state = join(folder, 'state')
  const children = new Set<ChildProcess>()
  const start = (...words: string[]): ChildProcess => {
    const child = spawn(process.execPath, [program, ...words], { env: { ...process.env, ADIT_STATE: state } })
    children.add(child)
    return child
  }
  t.after(async () => {
    for (const child of children) child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })
  return {
    fixture,
    state,
    start,
    async token(name, admin = false) {
      const { id, secret } = await fixture.registry.claims.create({ role: 'operator', name, admin })
      return encodeClaim({ api: [fixture.api.url], ca: fixture.authority.rootFingerprint, id, secret, role: 'operator' }, suite)
    },
    async adit(...words) {
      const child = start(...words)
      child.stdin?.end()
      const [stdout, stderr, status] = await Promise.all([
        text(child.stdout!),
        text(child.stderr!),
        new Promise<number | null>((resolve) => child.once('exit', resolve)),
      ])
      return { status, stdout, stderr }
    },
  }
}

test('login makes keys and a certificate that nobody else can read, and the other verbs find them', async (t) => {
  const { adit, fixture, state, token, start } = await desk(t)
  const before = await adit('devices')
  assert.equal(before.status, 4)
  assert.match(before.stderr, /not-enrolled/)

  const login = start('login', '--claim', '-', '--json')
  login.stdin?.end(`${await token('ann')}\n`)
  assert.match(await text(login.stdout!), /"event":"enrolled","name":"ann"/)
  assert.equal((await stat(state)).mode & 0o777, 0o700)
  for (const name of await readdir(state)) assert.equal((await stat(join(state, name))).mode & 0o077, 0, name)

  const device = await fixture.enrol('device', { name: 'pi', tags: ['roof'] })
  await fixture.enrol('device', { name: 'secret', tags: ['cellar'] })
  await fixture.grant('ann', 'roof')
  fixture.gateway.presences.set('pi', {
    state: 'up',
    since: Date.now() - 90_000,
    lastAuthentic: Date.now() - 3_000,
    endpoint: '192.0.2.1:4500',
  })
  const list = await adit('devices', '--json')
  assert.equal(list.status, 0, list.stderr)
  const [pi, ...others] = JSON.parse(list.stdout)
  assert.deepEqual(others, [])
  assert.deepEqual([pi.name, pi.state, pi.tags, pi.ports], ['pi', 'up', ['roof'], [{ from: 22, to: 22 }]])
  assert.ok(pi.since && pi.addresses.length >= 1 && device)
  const table = (await adit('devices')).stdout.split('\n')
  assert.match(table[0]!, /^NAME +STATE +SINCE +HEARD +ADDRESS +TAGS$/)
  assert.match(table[1]!, /^pi +up +\d+ s ago +\d s ago +fd/)

  const status = JSON.parse((await adit('--json', 'status')).stdout)
  assert.deepEqual([status.name, status.broker.reachable, status.tunnel.state], ['ann', true, 'none'])

  const again = await adit('login', '--claim', await token('bob'))
  assert.match(again.stderr, /already-enrolled/)
  assert.equal((await adit('logout')).status, 0)
  assert.equal((await adit('status')).status, 4)
})

test('telemetry comes as a table, as JSON lines, and follows', async (t) => {
  const { adit, fixture, token, start } = await desk(t)
  const login = await adit('login', '--claim', await token('ann'))
  assert.match(login.stderr, /^making keys\nasking https:\/\/\S+\nenrolled as ann\n/, 'steps as adit-agent enrol tells them')
  await fixture.enrol('device', { name: 'pi', tags: ['roof'] })
  await fixture.grant('ann', 'roof')
  const principalId = fixture.registry.directory.byName('device', 'pi')!.id
  const reading = (seq: number, name: string, value: number | string) => ({
    seq,
    name,
    value,
    unit: '°C',
    at: Date.now(),
    quality: 0,
  })
  await fixture.registry.telemetry.insert([
    { principalId, boot: 3, readings: [reading(1, 'attic', 21.5), reading(2, 'evil', '\u001b[2J')] },
  ])

  const lines = (await adit('telemetry', 'pi', '--json')).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(Object.keys(lines[0]), ['name', 'value', 'unit', 'at', 'boot', 'seq'])
  assert.deepEqual([lines[0].value, lines[0].boot, lines[1].seq], [21.5, 3, 2])
  const table = (await adit('telemetry', 'pi', '--name', 'evil')).stdout
  assert.ok(!table.includes('\u001b') && table.includes('\\u{1b}[2J') && !table.includes('attic'))

  const follower = start('telemetry', 'pi', '--follow', '--json', '--since', '1h')
  let seen = ''
  const found = new Promise<void>((resolve) => {
    follower.stdout?.on('data', (chunk) => {
      seen += chunk
      if (seen.includes('"attic"') && !seen.includes('"cellar"'))
        void fixture.registry.telemetry.insert([{ principalId, boot: 3, readings: [reading(3, 'cellar', 12)] }])
      if (seen.includes('"cellar"')) resolve()
    })
  })
  await found
  follower.kill('SIGINT')
})

test('every bad name, unknown, offline, revoked or forbidden device gets one sentence, a mend, a code and a status', async (t) => {
  const { adit, fixture, token } = await desk(t)
  await adit('login', '--claim', await token('ann'))
  for (const name of ['gone', 'never', 'dead']) await fixture.enrol('device', { name, tags: ['roof'] })
  await fixture.enrol('device', { name: 'secret', tags: ['cellar'] })
  await fixture.grant('ann', 'roof')
  await fixture.registry.devices.revoke('dead')
  fixture.gateway.presences.set('gone', { state: 'down', since: Date.now() - 9_000, lastAuthentic: Date.now() - 9_000 })
  const rows: [words: string[], status: number, code: string][] = [
    [['telemetry', 'a/b'], 2, 'name-invalid'],
    [['why', '\u001b[31mred'], 2, 'name-invalid'],
    [['telemetry', 'nobody'], 4, 'device-unknown'],
    [['telemetry', 'secret'], 3, 'forbidden'],
    [['ssh', 'a/b'], 2, 'name-invalid'],
    [['ssh', 'nobody'], 4, 'device-unknown'],
    [['ssh', 'secret'], 3, 'forbidden'],
    [['ssh', 'gone'], 4, 'device-offline'],
    [['ssh', 'never'], 4, 'device-offline'],
    [['ssh', 'dead', 'ls'], 3, 'device-revoked'],
    [['proxy', 'dead.adit', '22'], 3, 'device-revoked'],
    [['forward', 'gone', '-L', '0:localhost:22'], 4, 'device-offline'],
    [['forward', 'gone', '-R', '1:localhost:22'], 3, 'forbidden'],
    [['ssh'], 2, 'usage'],
    [['ssh', '-J', 'jump', 'pi'], 2, 'usage'],
    [['frobnicate'], 2, 'usage'],
    [['devices', '--frobnicate'], 2, 'usage'],
  ]
  for (const [words, status, code] of rows) {
    const outcome = await adit(...words)
    assert.equal(outcome.status, status, `${words}: ${outcome.stderr}`)
    if (code === '') continue
    assert.match(outcome.stderr, new RegExp(`^adit: [^\\n]+ \\(${code}\\)\\n$`), words.join(' '))
    assert.ok(!outcome.stderr.includes('\u001b'))
    assert.equal(outcome.stdout, '')
  }
  const json = await adit('--json', 'telemetry', 'nobody')
  assert.deepEqual(Object.keys(JSON.parse(json.stderr)), ['error', 'message', 'mend'])
  await adit('logout')
})

test('adit says its version', async (t) => {
  const { adit } = await desk(t)
  assert.deepEqual(await adit('--version'), { status: 0, stdout: `${version}\n`, stderr: '' })
})

test('a changed host key is refused loudly until it is accepted, and why names it', async (t) => {
  const { adit, fixture, token } = await desk(t)
  await adit('login', '--claim', await token('ann', true))
  await fixture.enrol('device', { name: 'pi', tags: ['roof'] })
  await fixture.grant('ann', 'roof')
  fixture.gateway.presences.set('pi', { state: 'up', since: Date.now(), lastAuthentic: Date.now() })
  const { id } = fixture.registry.directory.byName('device', 'pi')!
  const old = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxHMrFVMMWFOYgZyHhDhK0HGm0ZqVjdtG3UfUjwyNpc'
  const fresh = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1hUDdQWQ8iXmFr0QqF1Cn7hYkV1m0B9u3a3n8pYV3Z'
  const missing = JSON.parse((await adit('why', 'pi', '--json')).stdout)
  assert.equal(missing.verdict, 'host-key-missing')
  assert.match(missing.mend, /--service ssh=/)
  await fixture.registry.hostKeys.report(id, 'ssh', [old])
  assert.equal(JSON.parse((await adit('why', 'pi', '--json')).stdout).verdict, 'ok')
  await fixture.registry.hostKeys.report(id, 'ssh', [fresh])
  const refused = await adit('ssh', 'pi', 'true')
  assert.equal(refused.status, 3)
  assert.match(refused.stderr, /CHANGED.*accept-key pi.*\(host-key-changed\)/)
  // The tunnel that ssh wanted finds no gateway in this test, so the nearest broken link is another.
  assert.match((await adit('why', 'pi')).stdout, /NO +host-key-changed +The ssh host key of pi is no longer the pinned one/)
  assert.equal((await adit('devices', 'accept-key', 'pi')).status, 0)
  assert.match((await adit('why', 'pi')).stdout, /ok +host-key +The ssh host key of pi is pinned and unchanged/)
  const audit = await adit('audit')
  assert.match(audit.stdout, /operator:ann +host-key\.accept +device:pi/)
  assert.equal((await adit('devices', 'accept-key', 'pi')).status, 4)
  await adit('logout')
})
