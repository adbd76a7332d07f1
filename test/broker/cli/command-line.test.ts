import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { after } from 'node:test'
import { runCommandLine } from '#broker/cli/command-line.ts'
import { defaultDataDir } from '#broker/cli/terminal.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { decodeClaim } from '#shared/enrolment/claim.ts'
import { version } from '#shared/platform/version.ts'

const root = mkdtempSync(join(tmpdir(), 'adit-cli-'))
const children = new Set<ChildProcess>()
after(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(root, { recursive: true })
})
let count = 0
const freshData = (): string => join(root, `data-${++count}`)

interface Outcome {
  status: number
  out: string
  err: string
}

/** The command line in this process, its streams caught. */
async function cli(...words: string[]): Promise<Outcome> {
  let out = ''
  let err = ''
  const terminal = {
    out: (text: string) => (out += text),
    err: (text: string) => (err += text),
    env: {},
    home: root,
    isRoot: false,
  }
  const status = await runCommandLine(words, terminal)
  return { status, out, err }
}

async function json<Result>(...words: string[]): Promise<Result> {
  const { status, out, err } = await cli(...words, '--json')
  assert.equal(status, 0, err)
  assert.equal(out.split('\n').length, 2, 'one line')
  return JSON.parse(out) as Result
}

interface RunningBroker {
  child: ChildProcess
  ready: { event: string; listen: string; api: string }
  err: () => string
}

async function startBroker(data: string, ...words: string[]): Promise<RunningBroker> {
  const bin = join(import.meta.dirname, '../../../broker/bin/adit-broker.js')
  const child = spawn(process.execPath, [
    bin,
    'run',
    '--data',
    data,
    '--listen',
    '127.0.0.1:0',
    '--api',
    '127.0.0.1:0',
    '--json',
    ...words,
  ])
  children.add(child)
  let err = ''
  child.stderr?.on('data', (chunk) => (err += chunk))
  const line = await Promise.race([
    once(createInterface({ input: child.stdout! }), 'line').then(([text]) => text as string),
    once(child, 'exit').then(() => Promise.reject(new Error(`the broker ended: ${err}`))),
  ])
  return { child, ready: JSON.parse(line), err: () => err }
}

const wireguardKey = (): string => Buffer.from(nativeSuite.x25519.generate().publicKey).toString('base64')

test('a question about a broker that is not there makes none; what a broker may begin with does, and says so', async () => {
  const data = freshData()
  for (const words of [['status'], ['device', 'list'], ['grant', 'revoke', '1'], ['audit'], ['ca', 'status']]) {
    const asked = await cli(...words, '--data', data)
    assert.deepEqual([asked.status, asked.out, existsSync(data)], [4, '', false], words.join(' '))
    assert.match(
      asked.err,
      /There is no broker in .*data-\d+\. Name its folder, --data DIR; or begin one: adit-broker run\. \(not-found\)/,
    )
  }
  const begun = await cli('ca', 'show', '--data', data)
  assert.match(begun.err, /There was no broker in .*: one has been made/)
  const after = await json<{ running: boolean; inner: string[]; devices: number; sessions: number }>('status', '--data', data)
  assert.deepEqual([after.running, after.devices, after.sessions, after.inner.length], [false, 0, 0, 2])
})

test('every verb works while the broker runs and when it does not', async () => {
  const data = freshData()
  const broker = await startBroker(data)
  assert.equal(broker.ready.event, 'ready')
  assert.match(broker.ready.listen, /^127\.0\.0\.1:\d+$/)
  assert.match(broker.ready.api, /^https:\/\/127\.0\.0\.1:\d+$/)

  const { inner } = await json<{ inner: string[] }>('status', '--data', data)
  for (const running of [true, false]) {
    const tag = running ? 'run' : 'still'
    const { claim } = await json<{ claim: string }>(
      'claim',
      'create',
      '--data',
      data,
      '--role',
      'device',
      '--name',
      `pi-${tag}`,
      '--tag',
      't',
      '--ttl',
      '2h',
    )
    const decoded = decodeClaim(claim, nativeSuite)
    assert.deepEqual([decoded.api, decoded.role], [[broker.ready.api], 'device'], 'the port that was really taken')
    const token = await cli('claim', 'create', '--data', data, '--role', 'operator', '--admin', '--group', 'g')
    assert.match(token.out, /^adit1-[\w-]+\n$/, 'nothing but the token on standard output')
    assert.equal((await json<object[]>('claim', 'list', '--data', data)).length, running ? 2 : 4)
    await json('claim', 'revoke', Buffer.from(decoded.id).toString('hex'), '--data', data)

    const grant = await json<{ id: number; ports: string[] }>(
      'grant',
      'add',
      '--data',
      data,
      '--operator',
      'ann',
      '--tag',
      't',
      '--port',
      '22',
      '--port',
      '80-90',
      '--until',
      '7d',
    )
    assert.deepEqual(grant.ports, ['22', '80-90'])
    await json('grant', 'revoke', String(grant.id), '--data', data)
    assert.deepEqual(await json('grant', 'list', '--data', data), [])

    const added = await cli('device', 'add', '--data', data, '--name', `wg-${tag}`, '--wireguard', wireguardKey(), '--tag', 't')
    assert.equal(added.status, 0, added.err)
    assert.match(added.out, /^\[Interface\]\n/)
    assert.match(added.out, new RegExp(`^Endpoint = ${broker.ready.listen}$`, 'm'))
    assert.match(added.out, /^PrivateKey =$/m)
    assert.match(added.out, /^Address = fd[0-9a-f:]+\/128, 100\.64\.\d+\.\d+\/32$/m)
    assert.match(added.out, /^AllowedIPs = fd[0-9a-f:]+\/48, 100\.64\.0\.0\/10$/m)
    await json('device', 'tag', `wg-${tag}`, '--add', 'u', '--remove', 't', '--data', data)
    assert.deepEqual((await json<{ tags: string[] }>('device', 'show', `wg-${tag}`, '--data', data)).tags, ['u'])
    assert.equal((await cli('device', 'accept-key', `wg-${tag}`, '--data', data)).status, 4)
    await json('device', 'revoke', `wg-${tag}`, '--data', data)
    assert.deepEqual(await json('device', 'list', '--data', data), [])
    assert.deepEqual(await json('operator', 'list', '--data', data), [])
    assert.equal((await cli('operator', 'revoke', 'nobody', '--data', data)).status, 4)
    assert.equal(
      (await json<{ fingerprint: string }>('ca', 'show', '--data', data)).fingerprint,
      Buffer.from(decoded.ca).toString('hex'),
    )
    const audit = await cli('audit', '--data', data, '--json')
    const actions = audit.out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { action: string }).action)
    for (const action of [
      'claim.create',
      'claim.revoke',
      'grant.add',
      'grant.revoke',
      'device.add',
      'device.tag',
      'device.revoke',
    ]) {
      assert.ok(actions.includes(action), action)
    }
    const status = await json<{ running: boolean; inner: string[] }>('status', '--data', data)
    assert.equal(status.running, running)
    assert.deepEqual(status.inner, inner)

    if (running) {
      const second = await cli('run', '--data', data, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0')
      assert.equal(second.status, 5)
      assert.match(second.err, new RegExp(`${data} is in use by process ${broker.child.pid}.*\\(state-locked\\)`))
      broker.child.kill('SIGTERM')
      const [code] = await once(broker.child, 'exit')
      assert.equal(code, 0, broker.err())
    }
  }
})

test('kill -9 leaves nothing in the way of the next broker', async () => {
  const data = freshData()
  const first = await startBroker(data)
  first.child.kill('SIGKILL')
  await once(first.child, 'exit')
  assert.equal((await json<{ running: boolean }>('status', '--data', data)).running, false)
  const second = await startBroker(data)
  assert.equal((await json<{ running: boolean }>('status', '--data', data)).running, true)
  second.child.kill('SIGINT')
  assert.deepEqual(await once(second.child, 'exit'), [0, null])
})

test('a port in use is named, and nothing stays locked', async () => {
  const data = freshData()
  const taken = createSocket('udp4').bind(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address()
  const { status, err } = await cli(
    'run',
    '--data',
    data,
    '--listen',
    `127.0.0.1:${port}`,
    '--api',
    '127.0.0.1:0',
    '--log',
    'silent',
  )
  assert.equal(status, 5)
  assert.match(err, new RegExp(`${port}.*\\(port-in-use\\)`))
  assert.equal((await cli('status', '--data', data)).status, 0)
  taken.close()
})

test('bad words: one sentence with a mend, a code, and the status of its kind', async () => {
  const data = freshData()
  const broken = join(root, 'broken.toml')
  writeFileSync(broken, '[log]\nlevel = "loud"\n')
  const [absent, shut] = ['absent', 'shut'].map((hook) => {
    writeFileSync(join(root, `${hook}.toml`), `[enrolment]\nhook = "${join(root, hook)}"\n`)
    return join(root, `${hook}.toml`)
  }) as [string, string]
  writeFileSync(join(root, 'shut'), '#!/bin/sh\n', { mode: 0o644 })
  const table: [words: string[], status: number, code: string][] = [
    [[], 2, 'usage'],
    [['bogus'], 2, 'usage'],
    [['claim'], 2, 'usage'],
    [['claim', 'create', '--role', 'king'], 2, 'usage'],
    [['claim', 'create', '--uses', '0'], 2, 'usage'],
    [['claim', 'create', '--ttl', 'soon'], 2, 'usage'],
    [['claim', 'create', '--name', 'a/b', '--data', data], 2, 'name-invalid'],
    [['claim', 'create', '--name', 'x\u001b[2J', '--data', data], 2, 'name-invalid'],
    [['claim', 'create', '--data', data, '--config', broken], 2, 'config-invalid'],
    [['config', 'check', '--config', broken], 2, 'config-invalid'],
    [['config', 'check', '--config', join(root, 'none.toml')], 2, 'config-invalid'],
    [['config', 'check', '--config', absent], 2, 'config-invalid'],
    [['config', 'check', '--config', shut], 2, 'config-invalid'],
    [['claim', 'revoke', '00', '--data', data], 3, 'claim-unknown'],
    [['grant', 'add', '--tag', 't', '--port', '22'], 2, 'usage'],
    [['grant', 'add', '--operator', 'ann', '--tag', 't', '--port', '70000'], 2, 'usage'],
    [['grant', 'revoke', '7', '--data', data], 4, 'not-found'],
    [['device', 'show', 'x\u001b]0;', '--data', data], 4, 'device-unknown'],
    [['device', 'add', '--name', 'pi', '--wireguard', 'abc', '--data', data], 2, 'usage'],
    [['run', '--listen', 'somewhere', '--data', data], 2, 'usage'],
    [['run', '--endpoint', 'broker.example.net', '--data', data], 2, 'usage'],
    [['run', '--endpoint', 'broker.example.net:99999', '--data', data], 2, 'usage'],
    [['run', '--port500', 'somewhere', '--data', data], 2, 'usage'],
    [['run', '--log', 'loud', '--data', data], 2, 'usage'],
  ]
  for (const [words, status, code] of table) {
    const human = await cli(...words)
    assert.equal(human.status, status, `${words.join(' ')}: ${human.err}`)
    assert.equal(human.err.trim().split('\n').length, 1, human.err)
    assert.ok(human.err.includes(`(${code})`), human.err)
    assert.equal(human.err.includes('\u001b'), false, 'A-77 no escape reaches the terminal')
    assert.equal(human.out, '')
    const machine = await cli(...words, '--json')
    assert.deepEqual(Object.keys(JSON.parse(machine.err)), ['error', 'message', 'mend'], machine.err)
  }
})

test('it says its version', async () => {
  assert.deepEqual(await cli('--version'), { status: 0, out: `${version}\n`, err: '' })
})

test('every verb explains itself with examples', async () => {
  for (const words of [
    ['run'],
    ['status'],
    ['audit'],
    ['claim', 'create'],
    ['grant', 'add'],
    ['device', 'add'],
    ['config', 'check'],
    ['ca', 'show'],
  ]) {
    const { status, out } = await cli(...words, '--help')
    assert.equal(status, 0)
    assert.match(out, /Examples:\n {2}\S/, words.join(' '))
  }
})

test('the folder where none is named', () => {
  assert.equal(defaultDataDir({ env: {}, home: '/home/a', isRoot: true }), '/var/lib/adit-broker')
  assert.equal(defaultDataDir({ env: {}, home: '/home/a', isRoot: false }), '/home/a/.local/share/adit-broker')
  assert.equal(defaultDataDir({ env: { XDG_DATA_HOME: '/x' }, home: '/home/a', isRoot: false }), '/x/adit-broker')
  assert.equal(
    defaultDataDir({ env: { XDG_DATA_HOME: 'x' }, home: '/home/a', isRoot: false }),
    '/home/a/.local/share/adit-broker',
  )
})

test("a WireGuard key under which no handshake would succeed is refused: of small order, or the broker's own", async () => {
  const data = join(root, 'small-order')
  const zero = Buffer.alloc(32)
  const { out } = await cli('device', 'add', '--name', 'good', '--wireguard', wireguardKey(), '--data', data)
  const own = /^PublicKey = (.*)$/m.exec(out)?.[1] ?? ''
  for (const key of [zero.toString('base64'), Buffer.alloc(32, 1).fill(0, 1).toString('base64'), own]) {
    const words = ['--name', 'bad', '--wireguard', key, '--data', data]
    const { status, err } = await cli('device', 'add', ...words)
    assert.deepEqual([status, /\(usage\)/.test(err)], [2, true], `${key} ${err}`)
  }
})

test('an empty name is no folder', async () => {
  for (const words of [['run'], ['status'], ['claim', 'create']]) {
    const { status, err } = await cli(...words, '--data', '')
    assert.deepEqual([status, /\(usage\)\n$/.test(err)], [2, true], err)
  }
})
