import assert from 'node:assert/strict'
import test from 'node:test'
import { parseAgentConfig } from '#agent/core/agent-config.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { verifyRequest } from '#shared/pki/request.ts'
import { ApiFixture, type keyPem, oneDay } from '#test/broker/api/api-fixture.ts'

const operatorRoutes = [
  '/v1/operator',
  '/v1/devices',
  '/v1/devices/pi',
  '/v1/devices/pi/telemetry',
  '/v1/devices/pi/why',
  '/v1/negotiations',
  '/v1/devices/pi/host-keys',
  '/v1/audit',
]
const agentRoutes = ['/v1/agent/config', '/v1/agent/timestamp']

test('public routes need no certificate, all others do', async (t) => {
  const fixture = await ApiFixture.open(t)
  for (const path of ['/healthz', '/v1/openapi.json', '/v1/enrolment', '/.well-known/est/cacerts', '/metrics'])
    assert.equal((await fixture.ask(path)).status, 200, path)
  for (const path of [...operatorRoutes, ...agentRoutes]) {
    const { status, json } = await fixture.ask(path)
    assert.deepEqual([status, json.error], [403, 'certificate-refused'], path)
  }
  assert.equal((await fixture.ask('/.well-known/est/simplereenroll', { method: 'POST' })).status, 403)
  assert.deepEqual((await fixture.ask('/nowhere')).json.error, 'not-found')
})

test('A-36 a device’s certificate opens no operator’s route', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  for (const path of operatorRoutes) assert.equal((await fixture.ask(path, { as: device })).status, 403, path)
  for (const path of agentRoutes) assert.equal((await fixture.ask(path, { as: device })).status, 200, path)
  const operator = await fixture.enrol('operator', { name: 'ann' })
  const config = (await fixture.ask('/v1/agent/config', { as: operator })).json
  assert.deepEqual([config.role, config.name], ['operator', 'ann'])
  assert.deepEqual(config.broker.ike, { id: fixture.authority.ike.id }, 'as whom the broker proves itself to IKE peers')
  assert.equal(config.broker.stun, undefined)
  fixture.gateway.stunEndpoints = ['198.51.100.3:4501', '[2001:db8::3]:4501']
  const told = parseAgentConfig((await fixture.ask('/v1/agent/config', { as: operator })).json)
  assert.deepEqual(told.broker.stun, fixture.gateway.stunEndpoints)
})

test('A-33 certificates that are not ours, not yet or no longer valid are refused with one sentence that tells nothing', async (t) => {
  const fixture = await ApiFixture.open(t)
  const device = await fixture.enrol('device', { name: 'pi' })
  const operator = await fixture.enrol('operator', { name: 'ann' })
  const stranger = suite.ecdsaP256.generate()
  const outsider = await ApiFixture.open(t)
  const foreign = await outsider.enrol('device', { name: 'pi' })
  const unrecorded = await fixture.authority.issue({ role: 'device', name: 'pi', spki: spkiOf(fixture, stranger) })
  const otherName = await fixture.authority.issue({ role: 'device', name: 'po', spki: spkiOf(fixture, device.identity) })
  const root = encodePem('CERTIFICATE', fixture.authority.rootDer)
  const rows: [what: string, as: { key: string; cert: string }][] = [
    ['another fleet’s certificate of the same name', foreign],
    ['a certificate that the registry does not know', fixture.credentials('device', stranger, unrecorded.der)],
    ['a certificate of another name for a known key', fixture.credentials('device', device.identity, otherName.der)],
    [
      'a leaf that another role’s leaf pretends to have signed',
      { key: device.key, cert: encodePem('CERTIFICATE', device.der) + encodePem('CERTIFICATE', operator.der) + root },
    ],
  ]
  const sentences = new Set<string>()
  for (const [what, as] of rows.slice(0, 3)) {
    const { status, json } = await fixture.ask('/v1/agent/config', { as })
    assert.equal(status, 403, what)
    sentences.add(JSON.stringify(json))
  }
  // The issuers that a client sends are not looked at, so a wrong one does no harm either.
  assert.equal((await fixture.ask('/v1/agent/config', { as: rows[3]![1] })).status, 200)
  fixture.clock.forward(-2 * oneDay)
  sentences.add(JSON.stringify((await fixture.ask('/v1/agent/config', { as: device })).json))
  fixture.clock.forward(60 * oneDay)
  sentences.add(JSON.stringify((await fixture.ask('/v1/agent/config', { as: device })).json))
  fixture.clock.forward(-58 * oneDay)
  await fixture.registry.devices.revoke('pi')
  sentences.add(JSON.stringify((await fixture.ask('/v1/agent/config', { as: device })).json))
  assert.equal(sentences.size, 1)
  assert.match([...sentences][0]!, /"error":"certificate-refused"/)
})

test('a connection that was accepted loses its rights with the next request after a revocation', async (t) => {
  const fixture = await ApiFixture.open(t)
  const operator = await fixture.enrol('operator', { name: 'ann' })
  const device = await fixture.enrol('device', { name: 'pi', tags: ['roof'] })
  await fixture.grant('ann', 'roof')
  const { Agent, request } = await import('node:https')
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, key: operator.key, cert: operator.cert })
  t.after(() => agent.destroy())
  const ask = (path: string): Promise<number> =>
    new Promise((resolve, reject) =>
      request(new URL(path, fixture.api.url), { agent }, (response) => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0))
      })
        .on('error', reject)
        .end(),
    )
  assert.equal(await ask('/v1/devices/pi'), 200)
  // A long poll that waits ends with the revocation, not with its wait.
  const waiting = ask('/v1/devices/pi/telemetry?wait=30')
  await new Promise((resolve) => setTimeout(resolve, 50))
  await fixture.registry.operators.revoke('ann')
  assert.equal(await waiting, 403)
  assert.equal(await ask('/v1/devices/pi'), 403)
  assert.ok(device)
})

test('metrics go to this machine; the OpenAPI document describes every route but hides none', async (t) => {
  const fixture = await ApiFixture.open(t)
  await fixture.enrol('device', { name: 'pi' })
  const metrics = (await fixture.ask('/metrics')).body.toString()
  assert.match(metrics, /^adit_principals\{kind="device"\} 1$/m)
  assert.match(metrics, /^adit_drops_total\{reason="replayed"\} 11$/m)
  assert.match(metrics, /^adit_handshakes_total 8$/m)
  const { json } = await fixture.ask('/v1/openapi.json')
  assert.equal(json.openapi, '3.1.0')
  for (const path of [
    '/v1/devices/{name}/telemetry',
    '/v1/agent/config',
    '/.well-known/est/simpleenroll',
    '/v1/audit',
    '/healthz',
  ])
    assert.ok(json.paths[path], path)
  assert.ok(json.paths['/v1/devices/{name}'].get.responses['4XX'] ?? json.paths['/v1/devices/{name}'].get.responses['4xx'])
})

test('requests that are too large, of the wrong kind or malformed end with a sentence', async (t) => {
  const fixture = await ApiFixture.open(t)
  const operator = await fixture.enrol('operator', { name: 'ann', admin: true })
  const json = { 'content-type': 'application/json' }
  const rows: [path: string, options: Parameters<ApiFixture['ask']>[1], status: number][] = [
    ['/v1/devices/a%2fb', {}, 400],
    ['/v1/devices/%1b%5b31m', {}, 400],
    ['/v1/devices/nobody', {}, 404],
    ['/v1/devices/nobody/telemetry?limit=100000', {}, 400],
    ['/v1/audit?after=-1', {}, 400],
    ['/v1/devices/pi/host-keys/accept', { method: 'POST', headers: json, body: '{' }, 400],
    ['/v1/devices/pi/host-keys/accept', { method: 'POST', headers: json, body: `{"service":"${'x'.repeat(40_000)}"}` }, 413],
    ['/v1/devices/pi/host-keys/accept', { method: 'POST', headers: { 'content-type': 'text/xml' }, body: '<x/>' }, 415],
  ]
  for (const [path, options, status] of rows) {
    const answer = await fixture.ask(path, { ...options, as: operator })
    assert.equal(answer.status, status, `${path}: ${answer.body}`)
    assert.ok(answer.json.error && answer.json.mend && !answer.body.includes(0x1b))
  }
})

test('another method than a path takes is told which it takes, whoever asks; an unknown path is not there', async (t) => {
  const fixture = await ApiFixture.open(t)
  const rows: [path: string, method: string, allow: string | undefined][] = [
    ['/.well-known/est/simpleenroll', 'GET', 'POST'],
    ['/.well-known/est/device/simpleenroll?x=1', 'PUT', 'POST'],
    ['/.well-known/est/cacerts', 'POST', 'GET, HEAD'],
    ['/v1/devices/pi', 'DELETE', 'GET, HEAD'],
    ['/v1/devices/', 'DELETE', undefined],
    ['/v1/nothing', 'POST', undefined],
  ]
  for (const [path, method, allow] of rows) {
    const answer = await fixture.ask(path, { method })
    assert.deepEqual([answer.status, answer.headers.allow], [allow === undefined ? 404 : 405, allow], `${method} ${path}`)
    assert.ok(answer.json.error && answer.json.message && answer.json.mend)
  }
})

function spkiOf(fixture: ApiFixture, identity: Parameters<typeof keyPem>[0]): Uint8Array {
  return verifyRequest(fixture.request({ identity }), fixture.authority.enrolmentKey, suite).spki
}
