import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { type InnerStream, LocalService } from '#agent/io/local-service.ts'

/** Two ends of a pipe, one of which is what the netstack would give. */
function innerPair(): { inner: InnerStream & { wasReset: boolean }; operator: Duplex } {
  const make = (): Duplex & { other?: Duplex } =>
    new Duplex({
      allowHalfOpen: true,
      read() {},
      write(this: Duplex & { other?: Duplex }, chunk, _encoding, done) {
        // As the netstack, which has copied the bytes when it calls back.
        this.other!.push(Buffer.from(chunk))
        setImmediate(done)
      },
      final(this: Duplex & { other?: Duplex }, done) {
        this.other!.push(null)
        done()
      },
    })
  const [inner, operator] = [make(), make()]
  inner.other = operator
  operator.other = inner
  const extras = {
    remoteAddress: '100.64.0.7',
    setNoDelay: () => {},
    wasReset: false,
    reset() {
      extras.wasReset = true
      Object.assign(inner, { wasReset: true })
      inner.destroy()
    },
  }
  return { inner: Object.assign(inner, extras) as never, operator }
}

async function serving(t: TestContext, onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, onConnection).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  return { server, port: typeof address === 'object' && address ? address.port : 0 }
}

const serviceAt = (port: number) => new LocalService({ name: 'echo', port: 7, target: { address: '127.0.0.1', port } })

test('bytes both ways, half-close, and the operator’s own loopback address', async (t) => {
  let from = ''
  const { port } = await serving(t, (socket) => {
    from = socket.remoteAddress!
    socket.on('end', () => socket.end('bye'))
    socket.on('data', (chunk) => socket.write(chunk))
  })
  const { inner, operator } = innerPair()
  const service = serviceAt(port)
  service.accept(inner)
  const all = buffer(operator)
  const sent = Buffer.alloc(300_000, 'x')
  operator.end(sent)
  assert.deepEqual(await all, Buffer.concat([sent, Buffer.from('bye')]))
  if (process.platform === 'linux') assert.equal(from, '127.64.0.7')
  assert.equal(service.counters.accepted, 1)
})

test('a service that refuses resets the operator, and is counted', async (t) => {
  const { server, port } = await serving(t, () => {})
  await new Promise((resolve) => server.close(resolve))
  const { inner } = innerPair()
  const service = serviceAt(port)
  service.accept(inner)
  await once(inner, 'close')
  assert.equal(inner.wasReset, true)
  assert.deepEqual([service.counters.refused, service.counters.lastRefusal, service.counters.open], [1, 'ECONNREFUSED', 0])
})

test('a service that resets is not taken for one that ended', async (t) => {
  const { port } = await serving(t, (socket) => socket.resetAndDestroy())
  const { inner } = innerPair()
  serviceAt(port).accept(inner)
  await once(inner, 'close')
  assert.equal(inner.wasReset, true)
})

test('a service that says much: every byte, in order, though memory is used again and the operator is slow', async (t) => {
  const said = Buffer.from(Uint32Array.from({ length: 1 << 20 }, (_, i) => i).buffer)
  const { port } = await serving(t, (socket) => void socket.end(said))
  const service = serviceAt(port)
  const sessions = Array.from({ length: 3 }, async () => {
    const { inner, operator } = innerPair()
    service.accept(inner)
    operator.end()
    assert.ok((await buffer(operator)).equals(said))
  })
  await Promise.all(sessions)
})
