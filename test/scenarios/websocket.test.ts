import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { ConnectProxy } from '#test/lab/connect-proxy.ts'
import { type Device, Fleet, Operator } from '#test/lab/fleet.ts'
import { Program } from '#test/lab/program.ts'

/** Agents send their datagrams where nobody listens: to them UDP is blocked. */
const blocked = 'public-endpoints = ["127.0.0.1:9"]\n'

interface Status {
  tunnel: { state: string; suite: string; carrier: string; endpoint: string }
  findings: { code: string; text: string }[]
}

for (const suite of ['noise', 'esp'] as const) {
  test(`P-24 F-13 with UDP blocked, ${suite} rides a WebSocket at the API's port: readings, a forward, a broker killed`, async (t) => {
    const fleet = await Fleet.start(t, { config: blocked })
    const service = await bytesService(t, 3_000_000)
    const started = performance.now()
    const device = await fleet.device('pi', { suite, services: [`http=127.0.0.1:${service.port}`] })
    t.diagnostic(`enrolled and up after ${Math.round(performance.now() - started)} ms, of which up: ${await afterMs(device)}`)
    const { tunnel, findings } = await device.status<Status>()
    assert.deepEqual([tunnel.state, tunnel.suite, tunnel.carrier], ['up', suite, 'websocket'])
    assert.match(tunnel.endpoint, /^wss:\/\/127\.0\.0\.1:\d+\/v1\/tunnel$/)
    assert.deepEqual(findings, [])

    const ann = await fleet.operatorIn(suite, 'ann', '--admin')
    await fleet.grant('ann', 'pi', 80)
    const [row] = JSON.parse(await ann.must(['devices', '--json']))
    assert.deepEqual([row.state, row.endpoint], ['up', 'websocket from 127.0.0.1'])
    await readings(ann, 1)
    assert.equal(await digestOf(ann), service.digest)

    await fleet.crashBroker()
    const from = performance.now()
    await upAgain(ann)
    t.diagnostic(`up again ${Math.round(performance.now() - from)} ms after the broker was ready`)
  })
}

test('F-13 A-88 through a CONNECT proxy with a password: enrolment, tunnel and operator; a stream that is cut mid-transfer loses nothing', async (t) => {
  const fleet = await Fleet.start(t, { config: blocked })
  const proxy = await ConnectProxy.start(t, 'field:s3cret-canary')
  const url = `http://field:s3cret-canary@127.0.0.1:${proxy.port}`
  const service = await bytesService(t, 12_000_000)
  const device = await fleet.device('pi', { services: [`http=127.0.0.1:${service.port}`], proxy: url })
  const { tunnel } = await device.status<Status>()
  assert.match(tunnel.endpoint, new RegExp(`^wss://\\S+ through the proxy 127\\.0\\.0\\.1:${proxy.port}$`))
  assert.ok(proxy.led.every(({ credentials }) => credentials === 'field:s3cret-canary'))

  const ann = new Operator(join(fleet.folder, 'operator-ann'))
  t.after(() => ann.run(['logout']))
  await ann.must(['login', '--claim', '-', '--proxy', url], { input: await fleet.claim('operator', 'ann', '--admin') })
  await fleet.grant('ann', 'pi', 80)
  let cuts = 0
  const digest = await digestOf(ann, (received) => {
    if (received < 2_000_000 * (cuts + 1) || cuts === 2) return
    cuts++
    proxy.cut()
  })
  assert.equal(cuts, 2)
  assert.equal(digest, service.digest, 'both tunnels went through the proxy, and were cut twice')
  assert.ok(
    proxy.led.every(({ target }) => target === fleet.api),
    'nothing but the API and its WebSocket',
  )
  const said = saidBy(device) + JSON.stringify(await device.status())
  assert.ok(!said.includes('s3cret'), 'the password is in no log and no status')
})

test('A-88 a proxy that refuses the password is reported; when it takes it, the tunnel comes up by itself', async (t) => {
  const fleet = await Fleet.start(t, { config: blocked })
  const device = await fleet.device('pi')
  await device.stop()
  const proxy = await ConnectProxy.start(t, 'field:another')
  const program = device.launch(['--proxy', `http://field:s3cret-canary@127.0.0.1:${proxy.port}`])
  const { code, text, mend } = await program.event(({ event }) => event === 'finding', 20_000)
  assert.equal(code, 'proxy-auth')
  assert.ok(!`${text}${mend}${saidBy(device)}`.includes('s3cret'))
  assert.deepEqual(
    (await device.status<Status>()).findings.map((finding) => finding.code),
    ['proxy-auth'],
  )
  proxy.ask('field:s3cret-canary')
  await program.event(({ event }) => event === 'up', 120_000)
  const { tunnel } = await device.status<Status>()
  assert.deepEqual([tunnel.state, tunnel.carrier], ['up', 'websocket'])
  assert.ok(!`${saidBy(device)}${JSON.stringify(await device.status())}`.includes('s3cret'))
})

/** A TCP service that says so many random bytes and ends. */
async function bytesService(t: TestContext, length: number): Promise<{ port: number; digest: string }> {
  const bytes = randomBytes(length)
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end(bytes)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const digest = createHash('sha256').update(bytes).digest('hex')
  return { port: (server.address() as AddressInfo).port, digest }
}

/** The SHA-256 of what the device's service says through `adit forward`. */
async function digestOf(operator: Operator, onProgress?: (received: number) => void): Promise<string> {
  const words = ['forward', 'pi', '-L', '127.0.0.1:0:localhost:80', '--json']
  const forward = Program.start('adit', words, { env: operator.env })
  try {
    const { listen } = await forward.event(({ event }) => event === 'listening')
    const socket = connect(Number(String(listen).split(':').at(-1)), '127.0.0.1')
    const hash = createHash('sha256')
    let received = 0
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      hash.update(chunk)
      received += chunk.length
      onProgress?.(received)
    }
    return hash.digest('hex')
  } finally {
    await forward.stop()
  }
}

const saidBy = ({ program }: Device): string => program.stderr + JSON.stringify(program.events)

async function afterMs(device: Device): Promise<number> {
  const up = await device.program.event(({ event }) => event === 'up', 1_000)
  return Number(up.afterMs)
}

async function readings(operator: Operator, atLeast: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const lines = (await operator.must(['telemetry', 'pi', '--json'])).split('\n').filter(Boolean)
    if (lines.length >= atLeast) return
    await wait(100)
  }
  assert.fail('no reading came')
}

async function upAgain(operator: Operator): Promise<void> {
  const from = performance.now()
  for (;;) {
    const [row] = JSON.parse(await operator.must(['devices', '--json']))
    if (row.state === 'up' && row.evidenceAgeSeconds < 3) return
    assert.ok(performance.now() - from < 40_000, 'not back in 40 s, each question a process of its own')
  }
}
