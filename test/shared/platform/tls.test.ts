import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import test, { type TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { hostNames, keyPurposes } from '#shared/pki/certificate-writer.ts'
import { purposes } from '#shared/pki/oids.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import { HttpsClient, type HttpsClientOptions } from '#shared/platform/tls.ts'
import { wallTime } from '#shared/time/instant.ts'
import { begin, end, leafExtensions, type Made, makeCa, makeLeaf, makeRoot } from '#test/shared/pki/built-chain.ts'

const root = makeRoot()
const ca = makeCa(root)
const named = (...hosts: string[]): Made =>
  makeLeaf(ca, { extensions: leafExtensions(ca.spki, ca.spki).with(2, hostNames([...hosts, 'broker.example.com'])) })
const local = named('127.0.0.1', 'localhost')
const pem = (...chain: Made[]): string => chain.map(({ certificate }) => encodePem('CERTIFICATE', certificate.der)).join('')

interface Scene {
  url: string
  port: number
  /** Application bytes that reached the server. */
  received: () => number
  connections: () => number
}

async function serve(t: TestContext, chain: Made[], onRequest?: (socket: TLSSocket) => string): Promise<Scene> {
  const server: Server = createServer({
    key: encodePrivateKey('p256', chain[0]!.pair),
    cert: pem(...chain),
    requestCert: true,
    rejectUnauthorized: false,
  })
  let received = 0
  let connections = 0
  server.on('secureConnection', (socket: TLSSocket) => {
    connections += 1
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
  })
  server.on('tlsClientError', () => {})
  server.on('request', (request, response) => {
    const body: Buffer[] = []
    request.on('data', (chunk: Buffer) => body.push(chunk))
    request.on('end', () => {
      response.setHeader('x-path', request.url ?? '')
      response.statusCode = request.url === '/missing' ? 404 : 200
      response.end(onRequest?.(request.socket as TLSSocket) ?? Buffer.concat(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { url: `https://127.0.0.1:${port}`, port, received: () => received, connections: () => connections }
}

function client(t: TestContext, options: Partial<HttpsClientOptions> = {}): HttpsClient {
  const https = new HttpsClient({
    suite,
    trust: { rootFingerprint: suite.hash('sha256', root.certificate.der) },
    time: () => wallTime(begin),
    ...options,
  })
  t.after(() => https.close())
  return https
}

const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof AditError && error.code === expected, String(error))
  return true
}

test('requests, bodies, statuses and kept connections, with the root proven by its fingerprint', async (t) => {
  const scene = await serve(t, [local, ca, root])
  const https = client(t)
  const echo = await https.request({ url: `${scene.url}/echo?x=1`, method: 'POST', body: 'hello', headers: { 'x-a': 'b' } })
  assert.equal(echo.status, 200)
  assert.equal(Buffer.from(echo.body).toString(), 'hello')
  assert.equal(echo.headers['x-path'], '/echo?x=1')
  assert.equal(echo.address, '127.0.0.1')
  assert.equal((await https.request({ url: `${scene.url}/missing` })).status, 404)
  assert.equal(scene.connections(), 1)
  assert.deepEqual(https.rootDer, root.certificate.der)
  assert.equal(https.provenTime, begin)
})

test('after enrolment the stored root is enough', async (t) => {
  const scene = await serve(t, [local, ca])
  const https = client(t, { trust: { rootDer: root.certificate.der } })
  assert.equal((await https.request({ url: scene.url })).status, 200)
})

test('A-33 A-41 a server that is not proven gets no byte', async (t) => {
  const otherRoot = makeRoot()
  const otherCa = makeCa(otherRoot)
  const impostor = makeLeaf(otherCa, { extensions: leafExtensions(otherCa.spki, otherCa.spki).with(2, hostNames(['127.0.0.1'])) })
  const clientOnly = makeLeaf(ca, { extensions: leafExtensions(ca.spki, ca.spki).with(1, keyPurposes(purposes.clientAuth)) })
  const cases: [string, Made[], string][] = [
    ['another fleet', [impostor, otherCa, otherRoot], 'ca-mismatch'],
    ['the right root beside another chain', [impostor, otherCa, root], 'ca-mismatch'],
    ['no root sent', [local, ca], 'ca-mismatch'],
    ['another host', [named('192.0.2.9'), ca, root], 'certificate-refused'],
    ['a client’s certificate', [clientOnly, ca, root], 'certificate-refused'],
  ]
  for (const [what, chain, expected] of cases) {
    const scene = await serve(t, chain)
    const attempt = client(t).request({
      url: scene.url,
      method: 'POST',
      body: 'secret',
      headers: { authorization: 'Basic c2VjcmV0' },
    })
    await assert.rejects(attempt, code(expected), what)
    assert.equal(scene.received(), 0, what)
  }
})

test('F-05 1970, and a floor past the certificate’s end', async (t) => {
  const scene = await serve(t, [local, ca, root])
  assert.equal((await client(t, { time: () => wallTime(0) }).request({ url: scene.url })).status, 200)
  const late = client(t, { time: () => wallTime(end + 1) })
  await assert.rejects(late.request({ url: scene.url }), code('certificate-refused'))
})

test('mutual TLS shows the client’s certificate', async (t) => {
  const own = makeLeaf(ca, { extensions: leafExtensions(ca.spki, ca.spki).with(1, keyPurposes(purposes.clientAuth)) })
  const scene = await serve(t, [local, ca, root], (socket) => socket.getPeerX509Certificate()?.serialNumber ?? 'none')
  const identity = { key: encodePrivateKey('p256', own.pair), chain: pem(own, ca) }
  const answer = await client(t, { identity }).request({ url: scene.url })
  assert.equal(Buffer.from(answer.body).toString().toLowerCase(), own.certificate.serialHex)
})

test('F-08 a name that DNS does not know, answers late, or lies about: the last good addresses serve', async (t) => {
  const scene = await serve(t, [local, ca, root])
  const liar = await serve(t, [named('192.0.2.9'), ca, root])
  const url = `https://localhost:${scene.port}`
  const lastGoodAddresses = (): string[] => ['127.0.0.1']
  const dead = client(t, { lookup: () => Promise.reject(new Error('NXDOMAIN')), lastGoodAddresses })
  assert.equal((await dead.request({ url })).address, '127.0.0.1')
  const began = performance.now()
  const silent = client(t, { lookup: () => new Promise(() => {}), lastGoodAddresses })
  assert.equal((await silent.request({ url })).status, 200)
  assert.ok(performance.now() - began < 5_000)
  const nowhere = client(t, { lookup: () => Promise.reject(new Error('NXDOMAIN')) })
  await assert.rejects(nowhere.request({ url }), code('broker-unreachable'))
  assert.equal(liar.received(), 0)
})

test('F-08 a silent address among DNS’s answers costs a moment, and whoever proved to be the host is asked first from then on', async (t) => {
  const scene = await serve(t, [local, ca, root])
  const mute = createTcpServer(() => {})
  await new Promise<void>((resolve) => mute.listen(scene.port, '127.0.0.2', resolve))
  t.after(() => mute.close())
  const proven: string[] = []
  const https = client(t, {
    lookup: async () => ['127.0.0.2', '127.0.0.1'],
    onProven: (host, address) => proven.push(`${host} ${address}`),
  })
  const url = `https://localhost:${scene.port}`
  const began = performance.now()
  assert.equal((await https.request({ url, headers: { connection: 'close' } })).address, '127.0.0.1')
  const first = performance.now() - began
  assert.ok(first < 5_000, `${first} ms`)
  assert.equal((await https.request({ url, headers: { connection: 'close' } })).address, '127.0.0.1')
  assert.ok(performance.now() - began - first < 900, 'the mute one was not waited for again')
  assert.deepEqual(proven, ['localhost 127.0.0.1', 'localhost 127.0.0.1'])
})

test('nobody there, somebody mute, and somebody without TLS are unreachable within the time given', async (t) => {
  const mute = createTcpServer(() => {})
  const plain = createTcpServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  for (const server of [mute, plain]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
  }
  const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port
  const https = client(t)
  await assert.rejects(https.request({ url: `https://127.0.0.1:${portOf(plain)}` }), code('broker-unreachable'))
  await assert.rejects(https.request({ url: `https://127.0.0.1:${portOf(mute)}`, timeoutMs: 200 }), code('broker-unreachable'))
  await assert.rejects(https.request({ url: 'https://127.0.0.1:1' }), code('broker-unreachable'))
  await assert.rejects(https.request({ url: 'http://127.0.0.1:1' }), code('config-invalid'))
})
