import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { listenForward } from '#agent/operator/io/forward-listener.ts'
import { serveSocks } from '#agent/operator/io/socks-server.ts'
import { AditError } from '#shared/errors.ts'
import { eventually } from '#test/broker/broker-fixture.ts'

const greeting = Uint8Array.of(5, 1, 0)
const requestFor = (name: string, port: number): Uint8Array =>
  Uint8Array.of(5, 1, 0, 3, name.length, ...Buffer.from(name), port >> 8, port & 255)

/** A SOCKS server before an echo; `refused` is what could not be opened. */
async function place(t: TestContext) {
  const echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  t.after(() => echo.close())
  const { port } = echo.address() as { port: number }
  const asked: string[] = []
  const failures: unknown[] = []
  let ended = 0
  const listener = await listenForward({ bind: '127.0.0.1', port: 0 }, (local) => {
    void serveSocks(local, {
      async open(host, devicePort) {
        asked.push(`${host} ${devicePort}`)
        if (host !== 'pump') throw new AditError('forbidden', 'No.', 'Ask.')
        if (devicePort === 1) throw new AditError('service-refused', 'Nothing there.', 'Start it.')
        const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
        await once(far, 'connect')
        return far
      },
      onFailure: (error) => failures.push(error),
      onEnd: () => ended++,
    })
  })
  t.after(() => listener.close())
  const client = (): Socket => {
    const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
    t.after(() => socket.destroy())
    return socket
  }
  return { client, asked, failures, ended: () => ended }
}

/** What comes until `length` bytes are there or the other side ends. */
async function bytesOf(socket: Socket, length: number): Promise<string> {
  let came = Buffer.alloc(0)
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    came = Buffer.concat([came, chunk])
    if (came.length >= length) break
  }
  return came.toString('hex')
}

const accepted = '0500' + '05000001000000000000'

test('a client that waits for each answer, and one that says all in one piece, byte by byte or at once', async (t) => {
  const { client, asked, ended } = await place(t)
  const polite = client()
  polite.write(greeting)
  assert.equal(await bytesOf(polite, 2), '0500')
  polite.write(requestFor('pump', 8080))
  assert.equal(await bytesOf(polite, 10), '05000001000000000000')
  polite.end('hello')
  assert.equal(await bytesOf(polite, 5), Buffer.from('hello').toString('hex'))
  await eventually(() => ended() === 1)
  const whole = Uint8Array.of(...greeting, ...requestFor('pump', 22), ...Buffer.from('early'))
  const hasty = client()
  hasty.end(whole)
  assert.equal(await bytesOf(hasty, 17), accepted + Buffer.from('early').toString('hex'))
  const slow = client().setNoDelay(true)
  for (const byte of whole) {
    slow.write(Uint8Array.of(byte))
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  slow.end()
  assert.equal(await bytesOf(slow, 17), accepted + Buffer.from('early').toString('hex'))
  assert.deepEqual(asked, ['pump 8080', 'pump 22', 'pump 22'])
})

test('what may not be, or is not there, is answered and told; what is no SOCKS is closed without a word', async (t) => {
  const { client, asked, failures } = await place(t)
  const answerTo = async (...said: Uint8Array[]): Promise<string> => {
    const socket = client()
    for (const bytes of said) socket.write(bytes)
    return bytesOf(socket, 1_000)
  }
  assert.equal(await answerTo(greeting, requestFor('router', 80)), '0500' + '05020001000000000000')
  assert.equal(await answerTo(greeting, requestFor('pump', 1)), '0500' + '05050001000000000000')
  assert.deepEqual(
    failures.map((error) => (error as AditError).code),
    ['forbidden', 'service-refused'],
  )
  assert.equal(await answerTo(greeting, Uint8Array.of(5, 2, 0, 1, 127, 0, 0, 1, 0, 80)), '0500' + '05070001000000000000', 'BIND')
  assert.equal(await answerTo(greeting, Uint8Array.of(5, 1, 0, 9, 0, 0, 0)), '0500' + '05080001000000000000')
  assert.equal(await answerTo(greeting, requestFor('pump', 0)), '0500' + '05020001000000000000')
  assert.equal(await answerTo(Uint8Array.of(5, 1, 2)), '05ff', 'no way without a password')
  assert.equal(await answerTo(Buffer.from('GET http://pump/ HTTP/1.1\r\n\r\n')), '')
  assert.equal(await answerTo(Uint8Array.of(4, 1, 0, 80, 127, 0, 0, 1, 0)), '')
  const gone = client()
  gone.end(Uint8Array.of(5))
  assert.equal(await bytesOf(gone, 1), '')
  assert.deepEqual(asked, ['router 80', 'pump 1'])
})
