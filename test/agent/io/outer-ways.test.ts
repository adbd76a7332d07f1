import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { connect, createServer } from 'node:tls'
import { enrol } from '#agent/io/enrol.ts'
import type { Finding } from '#agent/io/outer-finding.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { Tunnel } from '#agent/io/tunnel.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { carrierOf } from '#shared/wire/endpoint.ts'
import { BrokerFixture, eventually } from '#test/broker/broker-fixture.ts'
import { ConnectProxy } from '#test/lab/connect-proxy.ts'

/** An agent's tunnel and a broker in one process. Datagrams are sent where nobody listens: UDP is blocked. */
async function town(
  t: TestContext,
  speaks: SuiteName,
  { proxy, streams, onFixture }: { proxy?: string; streams?: string[]; onFixture?(fixture: BrokerFixture): void } = {},
) {
  const fixture = await BrokerFixture.start({ publicEndpoints: ['127.0.0.1:9'], streams: { public: streams ?? [] } })
  onFixture?.(fixture)
  const path = await mkdtemp(join(tmpdir(), 'adit-outer-'))
  const ports = { suite, clock: systemClock, log: silentLog, proxy }
  const claim = await fixture.registry.claims.create({ role: 'device', name: 'pi' })
  const api = [fixture.broker.ready.api]
  const token = encodeClaim(
    { api, ca: fixture.authority.rootFingerprint, id: claim.id, secret: claim.secret, role: 'device' },
    suite,
  )
  const folder = await StateFolder.open(join(path, 'state'))
  const identity = await enrol({ ...ports, folder, token, role: 'device' })
  const findings: Finding[] = []
  const events: string[] = []
  const started = performance.now()
  const tunnel = await Tunnel.open({
    ...ports,
    timers: systemTimers,
    folder,
    keys: identity.keys,
    record: identity.record,
    floors: identity.floors,
    api: () => identity.api(),
    root: identity.root,
    proxy: identity.proxy,
    speaks,
    ike: () => identity.ike(),
    onEvent: ({ kind }) => events.push(kind),
    onFinding: (finding) => findings.push(finding),
  })
  t.after(async () => {
    await tunnel.close()
    identity.close()
    await fixture.end()
    await rm(path, { recursive: true, force: true })
  })
  await eventually(() => tunnel.core.state === 'up', 15_000, 'up')
  const upMs = performance.now() - started
  const pi = () => fixture.registry.devices.get('pi')
  const reaches = () => fixture.broker.gateway.probe(pi(), 1_000)
  return { fixture, tunnel, findings, events, upMs, reaches, pi }
}

for (const speaks of ['noise', 'esp'] as const) {
  test(`P-24 ${speaks}: up by WebSocket where UDP is blocked, back when the stream is cut and when the broker was restarted`, async (t) => {
    const { fixture, tunnel, findings, upMs, reaches, pi } = await town(t, speaks)
    t.diagnostic(`up after ${Math.round(upMs)} ms`)
    assert.ok(upMs < 5_000)
    assert.equal(carrierOf(tunnel.core.association!.endpoint!), 'websocket')
    assert.equal(
      tunnel.outer!.describe(tunnel.core.association!.endpoint!),
      `${fixture.broker.ready.api.replace('https', 'wss')}/v1/tunnel`,
    )
    assert.equal(tunnel.record.lastEndpoint, undefined, 'what a stream is called is not kept for the next run')
    await eventually(reaches, 5_000, 'reached')
    assert.equal(fixture.broker.gateway.presence(pi()).endpoint, 'websocket from 127.0.0.1')

    const cut = performance.now()
    const { accepted } = fixture.broker.gateway.streams.counters
    fixture.broker.gateway.streams.closeAll('a test')
    await eventually(() => fixture.broker.gateway.streams.counters.accepted > accepted, 10_000, 'a new stream')
    await eventually(reaches, 10_000, 'reached again')
    t.diagnostic(`back ${Math.round(performance.now() - cut)} ms after the stream was cut`)

    const api = portOf(fixture)
    await fixture.closeBroker()
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    await fixture.open(undefined, `127.0.0.1:${api}`)
    const ready = performance.now()
    await eventually(reaches, 30_000, 'reached after the restart')
    t.diagnostic(`back ${Math.round(performance.now() - ready)} ms after the restarted broker was ready`)
    assert.deepEqual(findings, [])
  })
}

test('F-13 through a proxy, named with its place alone; the proxy dies and comes back', async (t) => {
  const proxy = await ConnectProxy.start(t, 'a:s3cret')
  const { tunnel, reaches } = await town(t, 'noise', { proxy: `http://a:s3cret@127.0.0.1:${proxy.port}` })
  const told = tunnel.outer!.describe(tunnel.core.association!.endpoint!)
  assert.match(told, new RegExp(` through the proxy 127\\.0\\.0\\.1:${proxy.port}$`))
  await eventually(reaches, 5_000, 'reached')
  const { length } = proxy.led
  proxy.cut()
  await eventually(() => proxy.led.length > length, 10_000, 'a new way through the proxy')
  await eventually(reaches, 10_000, 'reached again')
  assert.deepEqual(tunnel.outer!.findings, [])
})

test('D8 a middlebox that opens our TLS is passed through and named, and sees nothing of the tunnel', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'adit-inspector-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const words = ['req', '-x509', '-subj', '/CN=Corp Inspection CA', '-days', '2', '-nodes', '-newkey', 'rsa:2048']
  execFileSync('openssl', [...words, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  let seen = ''
  let onward = 0
  const inspector = createServer({ key: await readFile(key), cert: await readFile(cert) }, (socket) => {
    const far = connect({ host: '127.0.0.1', port: onward, rejectUnauthorized: false })
    for (const end of [socket, far]) end.on('error', () => end.destroy())
    socket.on('data', (bytes) => {
      seen += bytes.toString('latin1')
    })
    socket.pipe(far).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(inspector, 'listening')
  t.after(() => inspector.close())
  const { port } = inspector.address() as AddressInfo
  const url = `wss://127.0.0.1:${port}/v1/tunnel`
  const { fixture, tunnel, findings, reaches } = await town(t, 'noise', {
    streams: [url],
    onFixture: (broker) => (onward = portOf(broker)),
  })
  await eventually(reaches, 5_000, 'reached')
  assert.equal(tunnel.outer!.describe(tunnel.core.association!.endpoint!), url)
  const [finding] = findings
  assert.equal(finding?.code, 'tls-inspected')
  assert.match(finding.text, /"CN=Corp Inspection CA"/)
  assert.deepEqual(
    tunnel.outer!.findings.map(({ code }) => code),
    ['tls-inspected'],
  )
  assert.match(seen, /^GET \/v1\/tunnel HTTP\/1\.1\r\n/)
  for (const name of ['pi', ...fixture.registry.fleet.broker]) assert.ok(!seen.includes(name))
})

const portOf = (fixture: BrokerFixture): number => Number(fixture.broker.ready.api.split(':').at(-1))
