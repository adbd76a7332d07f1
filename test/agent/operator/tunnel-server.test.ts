import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex, PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { readFirstLine } from '#agent/operator/io/line-socket.ts'
import { TunnelClient } from '#agent/operator/io/tunnel-client.ts'
import { type OperatorTunnel, TunnelServer } from '#agent/operator/io/tunnel-server.ts'
import { partedFrom } from '#agent/operator/parted-device.ts'
import { AditError } from '#shared/errors.ts'
import { systemTimers, type Timers } from '#shared/platform/timers.ts'
import { milliseconds, seconds } from '#shared/time/instant.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'adit-tunnel-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** Echoes in upper case, and ends when its input ends. */
function shout(): Duplex {
  const down = new PassThrough()
  return new Duplex({
    allowHalfOpen: true,
    write: (chunk: Buffer, _encoding, done) =>
      void (down.write(chunk.toString().toUpperCase()) ? done() : down.once('drain', done)),
    final: (done) => void down.end(done),
    read() {
      down.on('data', (chunk) => this.push(chunk) || down.pause())
      down.once('end', () => this.push(null))
      this._read = () => void down.resume()
    },
  })
}

/** A device's stream that takes its input (or nothing of it), and neither says nor ends anything: so does one whose device is gone. */
class Silence extends Duplex {
  readonly #takes: boolean

  constructor(takes: boolean) {
    super({ allowHalfOpen: true })
    this.#takes = takes
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#takes) done()
  }
}

const tunnel: OperatorTunnel = {
  async open(device) {
    if (device === 'gone') throw new AditError('device-offline', 'gone is offline.', 'Wait.')
    return { stream: shout(), device: { name: device } }
  },
  device: async (name) => ({ name, state: 'up' }),
  parting: (name) => (name === 'parted' ? new AditError('forbidden', 'parted was withdrawn.', 'Ask.') : undefined),
  status: async () => ({ state: 'up' }),
}

async function started(
  t: TestContext,
  options: { timers?: Timers; onLeave?: () => void; open?: () => Promise<{ stream: Duplex; device: object }> } = {},
) {
  const stateFolder = await folder(t)
  const socketPath = join(stateFolder, 'tunnel.sock')
  const server = new TunnelServer({
    tunnel: { ...tunnel, open: options.open ?? tunnel.open },
    timers: options.timers ?? systemTimers,
    idle: seconds(60),
    onLeave: options.onLeave ?? (() => {}),
  })
  await server.listen(socketPath)
  t.after(() => server.close())
  // A program that would fail: none of these tests may start one.
  const client = new TunnelClient({ stateFolder, socketPath, program: ['/nonexistent'] })
  return { server, client, socketPath }
}

/** Timers that fire when a test says so. */
function handTimers() {
  const waits: { at: number; call: () => void }[] = []
  const timers: Timers = {
    setTimer(at, call) {
      const wait = { at, call }
      waits.push(wait)
      return { clear: () => void waits.splice(waits.indexOf(wait), waits.includes(wait) ? 1 : 0) }
    },
  }
  return { waits, timers }
}

test('a stream carries bytes both ways, and one direction may end before the other', async (t) => {
  const { client } = await started(t)
  const { socket, answer } = await client.request({ op: 'open', device: 'pi', port: 22 })
  assert.deepEqual(answer.device, { name: 'pi' })
  const sent = 'abc'.repeat(200_000)
  socket.end(sent)
  assert.equal(await text(socket), sent.toUpperCase())
})

test('bytes that come in one piece with the request belong to the stream', async (t) => {
  const { socketPath } = await started(t)
  const socket = connect({ path: socketPath, allowHalfOpen: true })
  socket.end('{"op":"open","device":"pi","port":22}\nhello')
  assert.match((await readFirstLine(socket)) ?? '', /"ok":true/)
  assert.equal(await text(socket), 'HELLO')
})

test('a refusal arrives as the error that it was', async (t) => {
  const { client } = await started(t)
  await assert.rejects(client.request({ op: 'open', device: 'gone', port: 22 }), { code: 'device-offline', mend: 'Wait.' })
})

test('why connections to a device have just closed is told to who asks', async (t) => {
  const { client } = await started(t)
  const parted = await partedFrom(client, 'parted')
  assert.deepEqual([parted?.code, parted?.message, parted?.mend], ['forbidden', 'parted was withdrawn.', 'Ask.'])
  assert.equal(await partedFrom(client, 'pi'), undefined)
  const nobody = { requestIfRunning: async () => Promise.reject(new AditError('usage', 'What?', 'Update.')) }
  assert.equal(await partedFrom(nobody, 'parted'), undefined, 'a tunnel process of an earlier version')
})

test('the socket is for its user alone, and what a killed process left there is replaced', async (t) => {
  const { socketPath } = await started(t)
  assert.equal((await stat(socketPath)).mode & 0o777, 0o600)
  const stale = join(await folder(t), 'tunnel.sock')
  await writeFile(stale, '')
  const server = new TunnelServer({ tunnel, timers: systemTimers, idle: seconds(60), onLeave: () => {} })
  await server.listen(stale)
  await server.close()
})

test('nonsense, endless lines and silence hurt nobody else', async (t) => {
  const { client, socketPath } = await started(t)
  const strangers: Socket[] = []
  for (const words of ['nonsense\n', '{"op":"open"}\n', 'x'.repeat(70_000), '']) {
    const socket = connect(socketPath).on('error', () => {})
    socket.end(words)
    strangers.push(socket)
  }
  await Promise.all(strangers.map((socket) => once(socket.resume(), 'close')))
  assert.equal((await client.requestIfRunning({ op: 'status' }))?.state, 'up')
})

test('it leaves once nobody has used it for its time, and not while somebody does', async (t) => {
  const { waits, timers } = handTimers()
  let left = 0
  const { client, server } = await started(t, { timers, onLeave: () => left++ })
  assert.deepEqual(
    waits.map(({ at }) => at),
    [seconds(60)],
  )
  const { socket } = await client.request({ op: 'hold' })
  assert.equal(waits.length, 0)
  socket.destroy()
  while (waits.length === 0) await new Promise((resolve) => setImmediate(resolve))
  waits[0]?.call()
  waits[0]?.call()
  assert.equal(left, 1)
  await server.close()
})

for (const [how, goAway, takes] of [
  ['is killed', (socket: Socket) => socket.destroy(), true],
  ['half-closes, then is killed', (socket: Socket) => socket.end(() => setTimeout(() => socket.destroy(), 20)), true],
  ['is killed behind bytes that the device does not take', (socket: Socket) => socket.destroy(), false],
] as const)
  test(`a client that ${how} while the device is silent is no user any more`, async (t) => {
    const { waits, timers } = handTimers()
    const stream = new Silence(takes)
    let left = 0
    const open = async () => ({ stream, device: {} })
    const { client } = await started(t, { timers, open, onLeave: () => left++ })
    const { socket } = await client.request({ op: 'open', device: 'pi', port: 22 })
    const closed = once(stream, 'close')
    const look = async (): Promise<void> => {
      assert.deepEqual(
        waits.map(({ at }) => at),
        [seconds(15)],
      )
      waits.shift()?.call()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    socket.write('x'.repeat(takes ? 10 : 1_000_000))
    for (let looks = 0; looks < 5; looks++) await look()
    assert.ok(!stream.destroyed, 'a quiet user is a user')
    goAway(socket)
    while (!stream.destroyed) await look()
    await closed
    while (waits[0]?.at !== seconds(60)) await new Promise((resolve) => setImmediate(resolve))
    waits[0].call()
    assert.equal(left, 1)
  })

test('a half-closed client is heard to the end, however long the device is silent', async (t) => {
  const { waits, timers } = handTimers()
  const stream = new Silence(true)
  const { client } = await started(t, { timers, open: async () => ({ stream, device: {} }) })
  const { socket } = await client.request({ op: 'open', device: 'pi', port: 22 })
  socket.end('question')
  await once(stream, 'finish')
  for (let looks = 0; looks < 5; looks++) {
    waits.shift()?.call()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  stream.push('answer')
  stream.push(null)
  assert.equal(await text(socket), 'answer')
})

test('stop is answered, then the process leaves', async (t) => {
  let left = 0
  const { client } = await started(t, { onLeave: () => left++ })
  assert.deepEqual(await client.requestIfRunning({ op: 'stop' }), { ok: true })
  while (left === 0) await new Promise((resolve) => setImmediate(resolve))
})

test('where nobody listens, a question that needs no tunnel starts none', async (t) => {
  const stateFolder = await folder(t)
  const client = new TunnelClient({ stateFolder, socketPath: join(stateFolder, 'tunnel.sock'), program: ['/nonexistent'] })
  assert.equal(await client.requestIfRunning({ op: 'status' }), undefined)
})

test('a process that leaves between connect and request is asked again, a few times', async (t) => {
  const stateFolder = await folder(t)
  const socketPath = join(stateFolder, 'tunnel.sock')
  let asked = 0
  const fickle = createServer((socket) => {
    asked++
    if (asked < 3) socket.destroy()
    else socket.end('{"ok":true}\n')
    socket.on('error', () => {})
  })
  fickle.listen(socketPath)
  await once(fickle, 'listening')
  t.after(() => fickle.close())
  const client = new TunnelClient({ stateFolder, socketPath, program: ['/nonexistent'], patienceMs: milliseconds(2_000) })
  const { socket } = await client.request({ op: 'status' })
  socket.destroy()
  assert.equal(asked, 3)
})
