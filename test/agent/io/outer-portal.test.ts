import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import test from 'node:test'
import { isPortal, probePortal } from '#agent/io/outer-portal.ts'

const html = { 'content-type': 'text/html; charset=utf-8' }

test('F-09 a portal is a redirect to elsewhere, a page that nobody asked for, or 511; a web server is none', () => {
  const cases: [status: number, headers: Record<string, string>, portal: boolean][] = [
    [302, { location: 'http://login.hotspot.example/?from=broker' }, true],
    [307, { location: 'https://10.0.0.1/' }, true],
    [200, html, true],
    [511, {}, true],
    [301, { location: 'https://broker.example/v1/tunnel' }, false],
    [302, { location: '/login' }, false],
    [404, html, false],
    [200, { 'content-type': 'application/json' }, false],
    [204, {}, false],
    [426, {}, false],
    [503, html, false],
  ]
  for (const [status, headers, portal] of cases)
    assert.equal(isPortal({ status, headers }, 'broker.example'), portal, `${status} ${JSON.stringify(headers)}`)
})

test('F-09 the probe sees a portal, and is not held up by silence, babble or nobody', async (t) => {
  const asked: string[] = []
  const probe = async (answer: string | undefined): Promise<boolean> => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', (bytes) => {
        asked.push(bytes.toString('latin1'))
        if (answer !== undefined) socket.end(answer)
      })
    }).listen(0, '127.0.0.1')
    t.after(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    return probePortal('broker.example', '127.0.0.1', '/v1/tunnel', port)
  }
  assert.equal(await probe('HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n'), true)
  assert.equal(await probe('HTTP/1.0 404 Not Found\r\nContent-Type: text/html\r\n\r\n<html>'), false)
  assert.equal(await probe('SSH-2.0-OpenSSH_9\r\n'), false)
  assert.equal(await probePortal('broker.example', '127.0.0.1', '/', 9), false)
  const started = performance.now()
  assert.equal(await probe(undefined), false)
  assert.ok(performance.now() - started < 6_000, 'bounded')
  for (const request of asked)
    assert.match(request, /^GET \/v1\/tunnel HTTP\/1\.1\r\nHost: broker\.example\r\nConnection: close\r\n\r\n$/)
})
