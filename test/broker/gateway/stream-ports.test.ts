import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { StreamDoor } from '#broker/gateway/stream-door.ts'
import { openStreams, type StreamPlaces } from '#broker/gateway/stream-ports.ts'
import { isAditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { type Log, silentLog } from '#shared/platform/log.ts'
import { backgroundTimers } from '#shared/platform/timers.ts'

function pemFiles(t: TestContext, name: string): { certificate: string; key: string } {
  const folder = mkdtempSync(join(tmpdir(), 'adit-streams-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const words = ['req', '-x509', '-subj', `/CN=${name}`, '-days', '2', '-nodes', '-newkey', 'rsa:2048']
  execFileSync('openssl', [...words, '-keyout', key, '-out', certificate], { stdio: 'ignore' })
  return { certificate, key }
}

async function open(t: TestContext, places: StreamPlaces, udp = '127.0.0.1:0') {
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (_fields: unknown, message?: string) => void warnings.push(String(message)) }
  const door = new StreamDoor({ clock: systemClock, timers: backgroundTimers, receive: () => 0 })
  const around = { door, udp, ipsec: true, authority: { tls: { key: '', cert: '' } }, timers: backgroundTimers, log }
  const streams = await openStreams(places, around)
  t.after(() => streams.close())
  return { streams, warnings }
}

const place = { address: '127.0.0.1', port: 0 }
const invalid = (error: unknown): boolean => isAditError(error) && error.code === 'config-invalid'

test('a certificate of one’s own serves the port for WebSockets, which answers nothing else', async (t) => {
  const { streams } = await open(t, { tcp: 'off', websocket: place, pem: pemFiles(t, 'public.example') })
  assert.equal(streams.places.tcp, undefined)
  const { port } = new URL(`https://${streams.places.websocket}`)
  assert.equal(streams.advertised.port, Number(port))
  const asked = request({ host: '127.0.0.1', port, path: '/v1/openapi.json', rejectUnauthorized: false }).end()
  const [socket] = await once(asked, 'socket')
  const [response] = await once(asked, 'response')
  assert.equal(response.statusCode, 426)
  assert.equal(socket.getPeerCertificate().subject.CN, 'public.example')
  response.resume()
})

test('a certificate that is not there, or not of its key, is named; nothing stays open', async (t) => {
  const [one, other] = [pemFiles(t, 'one.example'), pemFiles(t, 'other.example')]
  await assert.rejects(open(t, { websocket: place, pem: { ...one, certificate: `${one.certificate}x` } }), invalid)
  await assert.rejects(open(t, { websocket: place, pem: { ...one, key: other.key } }), invalid)
  writeFileSync(one.certificate, 'nothing')
  await assert.rejects(open(t, { websocket: place, pem: one }), invalid)
})

test('TCP takes the port of the tunnels where it is free, else says so and does without; a port that was named must be free', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const { streams, warnings } = await open(t, {}, `127.0.0.1:${port}`)
  assert.deepEqual(streams.places, {})
  assert.match(warnings.join(), /IKE over TCP is not offered/)
  await assert.rejects(
    open(t, { tcp: { address: '127.0.0.1', port } }),
    (error) => isAditError(error) && error.code === 'port-in-use',
  )
  assert.match((await open(t, { tcp: place })).streams.places.tcp ?? '', /^127\.0\.0\.1:[1-9]/)
})
