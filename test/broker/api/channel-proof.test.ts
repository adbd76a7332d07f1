import assert from 'node:assert/strict'
import { Agent, type AgentOptions, request } from 'node:https'
import { buffer } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { toBase64 } from '#shared/bytes/base64.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { signEvidence } from '#shared/fleet/wipe-evidence.ts'
import { channelExporter, channelHeaders, proveChannel } from '#shared/pki/channel-proof.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import { wallTime } from '#shared/time/instant.ts'
import { ApiFixture, type Enrolled } from './api-fixture.ts'

const path = '/v1/agent/config'

const chainOf = (fixture: ApiFixture, { der }: Enrolled): Uint8Array[] => [der, ...fixture.authority.chainOf('device')]

/** As an agent with a token does it; `signed` counts the token's signatures. */
function tokenClient(t: TestContext, fixture: ApiFixture, device: Enrolled) {
  const counted = { signed: 0 }
  const key = {
    publicKey: device.identity.publicKey,
    sign: (message: Uint8Array): Uint8Array => {
      counted.signed++
      return suite.ecdsaP256.sign(device.identity, message)
    },
  }
  const trust = { rootDer: fixture.authority.rootDer }
  const time = () => wallTime(fixture.clock.ms)
  const client = new HttpsClient({ suite, trust, time, channelIdentity: { key, chain: chainOf(fixture, device) } })
  t.after(() => client.close())
  return { client, counted }
}

/** One connection by hand: `headersOf` says what goes in each request, given its exporter. */
function connection(t: TestContext, fixture: ApiFixture, options: AgentOptions = {}) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, ...options })
  t.after(() => agent.destroy())
  return (headersOf: (exporter: Uint8Array) => Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      const asking = request(new URL(path, fixture.api.url), { agent }, (response) => {
        buffer(response).then(() => resolve(response.statusCode!), reject)
      })
      asking.once('error', reject)
      asking.once('socket', (socket) => {
        const go = (): void => {
          const { label, length } = channelExporter
          const exporter = Uint8Array.from((socket as TLSSocket).exportKeyingMaterial(length, label, Buffer.alloc(0)))
          for (const [name, value] of Object.entries(headersOf(exporter))) asking.setHeader(name, value)
          asking.end()
        }
        if ((socket as TLSSocket).getProtocol() !== null && !socket.connecting && asking.reusedSocket) go()
        else socket.once('secureConnect', go)
      })
    })
}

test('a certificate that is proven on the channel is as good as one that TLS shows, one signature a connection', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const { client, counted } = tokenClient(t, fixture, device)
  for (let n = 0; n < 5; n++) {
    const { status, body } = await client.request({ url: `${fixture.api.url}${path}` })
    assert.deepEqual([status, JSON.parse(Buffer.from(body).toString()).name], [200, 'pi'])
  }
  assert.equal(counted.signed, 1)
})

test('a device whose key is in a token says by the proof alone that it has carried out its order', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const { registry, authority } = fixture
  const identity = toHex(suite.hash('sha256', p256Spki(device.identity.publicKey)))
  const words = { kind: 'wipe', identity, reason: 'test', keepReadings: false } as const
  const { id } = await registry.orders.give(registry.devices.get('pi'), words, 'admin:test')
  const said = { order: id, fleet: authority.fleetId, at: fixture.clock.wall(), erased: 9, left: [] }
  const { status } = await tokenClient(t, fixture, device).client.request({
    url: `${fixture.api.url}/v1/agent/order`,
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ evidence: toBase64(signEvidence(said, device.identity, suite)) }),
  })
  assert.equal(status, 200)
  assert.ok((await registry.orders.get(id))?.doneAt)
})

test('it is judged as any other: expired, revoked, of another fleet, of a role without that right', async (t) => {
  const fixture = await ApiFixture.open(t)
  const outsider = await ApiFixture.open(t)
  const foreign = await outsider.enrol('device', { name: 'pi' })
  const device = await fixture.enrol('device', { name: 'pi' })
  const ask = (who: Enrolled, from = fixture) => {
    const ask = connection(t, fixture)
    return ask((exporter) => proveChannel({ key: who.identity, chain: chainOf(from, who) }, exporter, suite))
  }
  assert.equal(await ask(device), 200)
  assert.equal(await ask(foreign, outsider), 403)
  const { client } = tokenClient(t, fixture, device)
  assert.equal((await client.request({ url: `${fixture.api.url}/v1/audit` })).status, 403)
  await fixture.registry.devices.revoke('pi')
  assert.equal(await ask(device), 403)
})

test('a proof that was seen on one connection opens no other', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  let stolen: Record<string, string> = {}
  const first = connection(t, fixture)
  assert.equal(
    await first((exporter) => {
      stolen = proveChannel({ key: device.identity, chain: chainOf(fixture, device) }, exporter, suite)
      return stolen
    }),
    200,
  )
  assert.equal(await connection(t, fixture)(() => stolen), 403)
  assert.equal(await first(() => stolen), 200)
})

test('each request speaks for itself: without the proof the same connection is nobody’s', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const ask = connection(t, fixture)
  const proven = (exporter: Uint8Array) =>
    proveChannel({ key: device.identity, chain: chainOf(fixture, device) }, exporter, suite)
  assert.equal(await ask(proven), 200)
  assert.equal(await ask(() => ({})), 403)
  assert.equal(await ask((exporter) => ({ [channelHeaders.chain]: proven(exporter)[channelHeaders.chain]! })), 403)
  assert.equal(await ask((exporter) => ({ [channelHeaders.proof]: proven(exporter)[channelHeaders.proof]! })), 403)
  assert.equal(await ask(proven), 200)
})

test('where TLS shows a certificate too, both must be the same', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const other = await fixture.enrol('device', { name: 'po' })
  const prove = (who: Enrolled) => (exporter: Uint8Array) =>
    proveChannel({ key: who.identity, chain: chainOf(fixture, who) }, exporter, suite)
  const ask = connection(t, fixture, { key: device.key, cert: device.cert })
  assert.equal(await ask(() => ({})), 200)
  assert.equal(await ask(prove(device)), 200)
  assert.equal(await ask(prove(other)), 403)
  assert.equal(await ask(() => ({})), 200)
})

test('in TLS 1.2 there is no proof of a channel', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const ask = connection(t, fixture, { maxVersion: 'TLSv1.2' })
  assert.equal(
    await ask((exporter) => proveChannel({ key: device.identity, chain: chainOf(fixture, device) }, exporter, suite)),
    403,
  )
})
