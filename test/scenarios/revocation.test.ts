import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { type Device, Fleet, type Operator } from '#test/lab/fleet.ts'
import { Program } from '#test/lab/program.ts'

/** The bound on a session whose right is gone, ms after the administrator's command has ended. */
const withinMs = 1_000

/** A device whose service echoes, an operator, and a stream of hers to it through `adit forward`. */
async function scene(t: TestContext) {
  const fleet = await Fleet.start(t)
  const echo = await echoServer(t)
  const device = await fleet.device('pump', { services: [`ssh=127.0.0.1:${echo}`], tags: ['lab'] })
  const ann = await fleet.operator('ann')
  const { id: grant } = await fleet.admin('grant', 'add', '--operator', 'ann', '--tag', 'lab', '--port', '22')
  return { fleet, device, ann, grant: String(grant), stream: await openStream(t, ann) }
}

async function echoServer(t: TestContext): Promise<number> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    socket.pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

async function openStream(t: TestContext, operator: Operator): Promise<Socket> {
  const forward = Program.start('adit', ['forward', 'pump', '-L', '0:22', '--json'], { env: operator.env })
  t.after(() => forward.stop())
  const { listen } = await forward.event(({ event }) => event === 'listening')
  const stream = connect(Number(String(listen).split(':').at(-1)), '127.0.0.1')
  t.after(() => stream.destroy())
  stream.on('error', () => {})
  stream.write('alive')
  const [said] = await once(stream, 'data')
  assert.equal(String(said), 'alive')
  return stream
}

/** HTTP status of a question that the device asks with its certificate. */
async function apiStatus(fleet: Fleet, { state }: Device): Promise<number | undefined> {
  const key = readFileSync(join(state, 'identity.key'))
  const cert = readFileSync(join(state, 'certificate.pem'))
  const question = get(`${fleet.broker.events[0]!.api}/v1/agent/config`, { key, cert, rejectUnauthorized: false, agent: false })
  const [answer] = (await once(question, 'response')) as [IncomingMessage]
  answer.resume()
  return answer.statusCode
}

/** How often the stream is tried, ms. */
const tickMs = 50
/** Both ends are told by a reset at once; a loaded machine may take longer to wake all the programs between, ms. */
const toldWithinMs = 3_000

/**
 * Lets an administrator's command take the right away while bytes go to and fro, and asserts how soon none came back any more, and that
 * the program at this end has been told: its stream is closed, not left hanging.
 */
async function endsBy(t: TestContext, stream: Socket, revoke: () => Promise<unknown>): Promise<void> {
  let lastEcho = performance.now()
  stream.on('data', () => {
    lastEcho = performance.now()
  })
  let closedAt: number | undefined
  stream.once('close', () => {
    closedAt = performance.now()
  })
  const ticking = setInterval(() => stream.writable && stream.write('tick'), tickMs)
  t.after(() => clearInterval(ticking))
  await once(stream, 'data')
  await revoke()
  const revokedAt = performance.now()
  await wait(toldWithinMs)
  clearInterval(ticking)
  const after = lastEcho - revokedAt
  t.diagnostic(`the last byte passed ${after.toFixed(0)} ms after the command had ended`)
  assert.ok(after < withinMs, `${after} ms`)
  assert.ok(closedAt !== undefined, `the stream is still open ${toldWithinMs} ms after the command had ended`)
  t.diagnostic(`the stream closed ${(closedAt - revokedAt).toFixed(0)} ms after the command had ended`)
}

test('a revoked device: nothing passes after 1 s, and neither tunnel nor API know it again', async (t) => {
  const { fleet, device, ann, stream } = await scene(t)
  assert.equal(await apiStatus(fleet, device), 200)
  await endsBy(t, stream, () => fleet.admin('device', 'revoke', 'pump'))
  const [seen] = JSON.parse(await ann.must(['devices', '--json']))
  assert.deepEqual([seen.name, seen.state], ['pump', 'revoked'])
  assert.equal(await ann.refused(['ssh', 'pump']), 'device-revoked')
  const { sessions, devicesUp } = await fleet.admin('status')
  assert.deepEqual([sessions, devicesUp], [1, 0], 'only the operator')

  assert.equal(await apiStatus(fleet, device), 403)
  await device.stop()
  await assert.rejects(device.start(5_000), 'no handshake is answered')
  const handshakes = await fleet.admin('status')
  assert.deepEqual([handshakes.sessions, handshakes.devicesUp], [1, 0])
})

test('a revoked grant: nothing passes after 1 s, and no other way in is left', async (t) => {
  const { fleet, ann, grant, stream } = await scene(t)
  await endsBy(t, stream, () => fleet.admin('grant', 'revoke', grant))
  assert.equal(await ann.refused(['ssh', 'pump']), 'forbidden')
  assert.equal(await ann.refused(['telemetry', 'pump']), 'forbidden')
  assert.deepEqual(JSON.parse(await ann.must(['devices', '--json'])), [])
  assert.equal((await fleet.admin('status')).devicesUp, 1, 'the device stays')
})

test('a revoked operator: nothing passes after 1 s, the API refuses her, the device stays', async (t) => {
  const { fleet, ann, stream } = await scene(t)
  await endsBy(t, stream, () => fleet.admin('operator', 'revoke', 'ann'))
  assert.equal(await ann.refused(['devices']), 'certificate-refused')
  assert.equal(await ann.refused(['ssh', 'pump']), 'certificate-refused')
  const { sessions, devicesUp } = await fleet.admin('status')
  assert.deepEqual([sessions, devicesUp], [1, 1])
  assert.match(await fleet.adminSays('audit', '--limit', '50', '--json'), /"action":"operator\.revoke"/)
})
