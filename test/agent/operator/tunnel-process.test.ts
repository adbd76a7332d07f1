import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { BrokerFixture } from '#test/broker/broker-fixture.ts'

const program = join(import.meta.dirname, '../../../agent/bin/adit.js')
const hostKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxHMrFVMMWFOYgZyHhDhK0HGm0ZqVjdtG3UfUjwyNpc'
const greeting = 'SSH-2.0-test\r\n'

interface Scene {
  adit(...words: string[]): ChildProcess
  /** Runs to the end; standard input is given and closed. */
  run(words: string[], input?: Buffer): Promise<{ status: number | null; stdout: Buffer; stderr: string }>
  /** Connections that the device's service has refused as an overloaded sshd does. */
  refusals: { left: number }
}

/** A broker, a device that echoes on port 22 after a greeting, and an operator who has logged in. */
async function scene(t: TestContext): Promise<Scene> {
  const fixture = await BrokerFixture.start()
  const folder = await mkdtemp(join(tmpdir(), 'adit-operator-'))
  const state = join(folder, 'state')
  const children = new Set<ChildProcess>()
  const refusals = { left: 0 }
  const adit = (...words: string[]): ChildProcess => {
    const child = spawn(process.execPath, [program, ...words], { env: { ...process.env, ADIT_STATE: state } })
    children.add(child)
    child.stdin?.on('error', () => {})
    return child
  }
  const run: Scene['run'] = async (words, input) => {
    const child = adit(...words)
    child.stdin?.end(input)
    const exit = once(child, 'exit')
    const [stdout, stderr] = await Promise.all([buffer(child.stdout!), text(child.stderr!)])
    return { status: (await exit)[0], stdout, stderr }
  }
  t.after(async () => {
    await run(['logout'])
    for (const child of children) child.kill('SIGKILL')
    await fixture.end()
    await rm(folder, { recursive: true, force: true })
  })

  const { client } = await fixture.join('device', 'pi', { tags: ['roof'] })
  await fixture.registry.hostKeys.report(fixture.registry.directory.byName('device', 'pi')!.id, 'ssh', [hostKey])
  client.core.netstack.listen({ port: 22, allowHalfOpen: true, backlog: 64 }, (socket) => {
    socket.on('error', () => {})
    if (refusals.left > 0) {
      refusals.left--
      socket.end('Exceeded MaxStartups\r\n')
      return
    }
    socket.write(greeting)
    socket.pipe(socket)
  })
  await fixture.registry.grants.add({
    operators: ['ann'],
    groups: [],
    tags: ['roof'],
    devices: [],
    ports: [{ from: 22, to: 22 }],
  })
  const { id, secret } = await fixture.registry.claims.create({ role: 'operator', name: 'ann' })
  const api = [fixture.broker.ready.api]
  const claim = encodeClaim({ api, ca: fixture.authority.rootFingerprint, id, secret, role: 'operator' }, suite)
  const login = await run(['login', '--claim', '-'], Buffer.from(claim))
  assert.equal(login.status, 0, login.stderr)
  return { adit, run, refusals }
}

const tunnelOf = async ({ run }: Scene): Promise<Record<string, unknown>> =>
  JSON.parse((await run(['status', '--json'])).stdout.toString()).tunnel

test('twenty commands at once share one tunnel; a killed tunnel process is replaced; a busy sshd is asked again', async (t) => {
  const stage = await scene(t)
  const payload = Buffer.from(suite.random(64 * 1024))
  stage.refusals.left = 3
  // No more than an SSH client says before it is greeted: then it can be said again.
  const words = payload.subarray(0, 3000)
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => stage.run(['proxy', 'pi', '22'], words)))
  for (const { status, stdout, stderr } of outcomes) {
    assert.equal(status, 0, stderr)
    assert.ok(stdout.equals(Buffer.concat([Buffer.from(greeting), words])), `${stdout.length} bytes came back`)
  }
  assert.equal(stage.refusals.left, 0)
  const first = await tunnelOf(stage)
  assert.deepEqual([first.state, first.users], ['up', 0])

  process.kill(first.pid as number, 'SIGKILL')
  const after = await stage.run(['proxy', 'pi.adit', '22'], Buffer.from('again'))
  assert.equal(after.stdout.toString(), `${greeting}again`, after.stderr)
  const second = await tunnelOf(stage)
  assert.notEqual(second.pid, first.pid)

  const forbidden = await stage.run(['proxy', 'pi', '80'])
  assert.equal(forbidden.status, 3)
  assert.match(forbidden.stderr, /\(forbidden\)/)

  // `why` walks from here to the device.
  const asked = await stage.run(['why', 'pi', '--json'])
  const why = JSON.parse(asked.stdout.toString())
  assert.deepEqual([asked.status, why.verdict], [0, 'ok'])
  const [own, way] = why.facts as { code: string; text: string }[]
  assert.equal(own!.code, 'own-tunnel')
  assert.match(
    `${way!.code}: ${way!.text}`,
    /^way: pi is reached through the broker.*: pi was asked just now\.$|: pi does not answer/,
  )

  const forward = stage.adit('forward', 'pi', '-L', '0:localhost:22', '--json')
  const [line] = await once(forward.stdout!, 'data')
  const { listen } = JSON.parse(String(line))
  const local = connect(Number(listen.split(':').at(-1)), '127.0.0.1')
  local.end(payload)
  assert.ok((await buffer(local)).equals(Buffer.concat([Buffer.from(greeting), payload])))
  forward.kill('SIGTERM')

  // Nothing is signed under the key that this operator pins now: ssh would be refused, and why says so.
  const pin = await stage.run(['fleet', 'pin', Buffer.alloc(32, 7).toString('base64')])
  assert.equal(pin.status, 0, pin.stderr)
  const doubting = await stage.run(['why', 'pi', '--json'])
  assert.deepEqual([doubting.status, JSON.parse(doubting.stdout.toString()).verdict], [1, 'statement-refused'])

  await stage.run(['logout'])
  const until = Date.now() + 5_000
  while (isAlive(second.pid as number) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(!isAlive(second.pid as number))
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
