import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { after, before, test } from 'node:test'
import { ExchangeType } from '#shared/wire/ike-numbers.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { BrokerFixture, config, eventually } from '#test/broker/broker-fixture.ts'
import { certify, enlistIpsec, IpsecPeer, type IpsecPeerOptions } from '#test/broker/ipsec-peer.ts'

/** The broker and peers of the esp suite, over UDP on loopback. */

let fixture: BrokerFixture
const peers: IpsecPeer[] = []

before(async () => {
  fixture = await BrokerFixture.start()
})
after(async () => {
  for (const peer of peers) await peer.stop()
  await fixture.end()
})

const inner6 = (): string => fixture.registry.fleet.broker[0]!

async function dial(options: IpsecPeerOptions): Promise<IpsecPeer> {
  const peer = await IpsecPeer.dial(fixture, options)
  peers.push(peer)
  return peer
}

const failures = async (name: string) => {
  await fixture.registry.negotiations.drained()
  const { id } = fixture.registry.devices.get(name)
  return (await fixture.registry.negotiations.query({ principalId: id })).map(({ failure }) => failure)
}

test('a peer with a certificate of ours is given its addresses, is routed, seen and told of', async () => {
  const { principal, credential } = await enlistIpsec(fixture, 'pump')
  const peer = await dial({ credential, id: 'CN=pump', addresses: principal.addresses })
  await peer.up()
  assert.equal(await peer.reaches(inner6()), true)
  assert.equal(await peer.reaches(fixture.registry.fleet.broker[1]!), true)
  assert.deepEqual(peer.configuration?.addresses, principal.addresses.map(parseAddress))
  const presence = fixture.broker.gateway.presence(principal)
  assert.deepEqual([presence.state, presence.suite], ['up', 'esp'])
  assert.equal(presence.endpoint, `127.0.0.1:${peer.engine.local.port}`)
  assert.equal(fixture.broker.gateway.counters().sessions, 1)
  assert.equal(await fixture.broker.gateway.probe(principal, 2_000), true)
})

test('a peer with a pre-shared key; the same with a wrong one is refused, and nobody tells it why', async () => {
  const psk = new Uint8Array(32).fill(7)
  const principal = await fixture.registry.ipsecPeers.add({ name: 'router', proof: { psk } })
  const options = { id: 'router', addresses: principal.addresses }
  const wrong = await dial({ ...options, credential: { kind: 'psk', secret: new Uint8Array(32).fill(8) } })
  await eventually(async () => (await failures('router')).some(({ code }) => code === 'psk-mismatch'))
  assert.equal(wrong.isUp, false)
  const peer = await dial({ ...options, credential: { kind: 'psk', secret: psk } })
  await peer.up()
  assert.equal(await peer.reaches(inner6()), true)
})

test('A-24 a known identity with a wrong key and an unknown one meet the same answers, but the record tells them apart', async () => {
  const answers = async (id: string): Promise<number[]> => {
    const secret = new Uint8Array(32).fill(9)
    const peer = await dial({ id, addresses: ['fd00::9'], credential: { kind: 'psk', secret } })
    await eventually(() => peer.failures.length > 0)
    peer.endpoint.removePeer(peer.association)
    assert.deepEqual(
      peer.failures.map(({ code }) => code),
      ['peer-refused-us'],
    )
    return [peer.association.counters.outerReceived]
  }
  await fixture.registry.ipsecPeers.add({ name: 'known1', proof: { psk: new Uint8Array(32).fill(1) } })
  assert.deepEqual(await answers('known1'), await answers('nobody'))
  const [known] = await failures('known1')
  assert.equal(known?.code, 'psk-mismatch')
  const strangers = await fixture.registry.negotiations.query({ principalId: null })
  assert.ok(strangers.some(({ failure }) => failure.code === 'unknown-peer' && failure.claimedId === 'nobody'))
})

test('revocation ends the tunnel within a second, and lets nobody in again', async () => {
  const { principal, credential } = await enlistIpsec(fixture, 'doomed')
  const peer = await dial({ credential, id: 'CN=doomed', addresses: principal.addresses })
  await peer.up()
  await fixture.registry.devices.revoke('doomed')
  await eventually(() => !peer.isUp, 1_000, 'the farewell')
  assert.equal(await peer.reaches(inner6(), 300), false)
  assert.equal(fixture.broker.gateway.presence(principal).state, 'never')
  await eventually(async () => (await failures('doomed')).some(({ code }) => code === 'refused'))
  const [failure] = (await failures('doomed')).filter(({ code }) => code === 'refused')
  assert.match(failure?.message ?? '', /doomed is revoked/)
  assert.match(failure?.mendHere ?? '', /^adit-broker device add --ipsec --name doomed --out FOLDER$/)
})

test('sites: hosts behind two peers meet where a grant says so, and nowhere else', async () => {
  const here = await enlistIpsec(fixture, 'plant-a', { subnets: ['192.168.1.0/24'] })
  const remote = ['192.168.0.0/16', ...fixture.registry.fleet.routes]
  const local = ['192.168.1.0/24']
  const a = await dial({ credential: here.credential, id: 'CN=plant-a', addresses: ['192.168.1.10'], local, remote })
  await a.up()
  assert.equal(await a.reaches(fixture.registry.fleet.broker[1]!), true, 'a host behind a peer may ping the broker')

  const there = await enlistIpsec(fixture, 'plant-b', { subnets: ['192.168.2.0/24'] })
  const b = await dial({
    credential: there.credential,
    id: 'plant-b',
    addresses: ['192.168.2.10'],
    local: ['192.168.2.0/24'],
    remote,
  })
  await b.up()
  assert.equal(await a.reaches('192.168.2.10', 500), false, 'default deny')
  const grant = { operators: [], groups: [], tags: [], devices: [], from: ['plant-a'], to: ['plant-b'] }
  const { id } = await fixture.registry.grants.add({ ...grant, ports: [{ from: 443, to: 443 }] }, 'test')
  // The site that was there first has learnt of the second by a renewal of its Child SA.
  await eventually(() => a.reaches('192.168.2.10', 300), 5_000, 'a ping from a to b')
  assert.equal(await b.reaches('192.168.1.10', 300), false, 'a grant is for one direction')
  assert.equal(await a.reaches(there.principal.addresses[1]!, 300), false, 'and not for the router itself')

  b.netstack.listen({ port: 443 }, (socket) => socket.on('error', () => undefined).end('hello'))
  const socket = a.netstack.connect({ address: '192.168.2.10', port: 443 })
  const [said] = await new Promise<[Buffer]>((resolve, reject) =>
    socket.once('data', (data) => resolve([data])).once('error', reject),
  )
  assert.equal(said.toString(), 'hello')
  const told = async (): Promise<boolean> => {
    const rows = await fixture.registry.audit.query({ newest: true, limit: 100 })
    return rows.some(
      ({ action, actor, detail }) => action === 'flow.open' && actor === 'device:plant-a' && detail?.to === '192.168.2.10',
    )
  }
  await eventually(told, 5_000, 'the audit row')
  await fixture.registry.grants.revoke(id, 'test')
  assert.equal(await a.reaches('192.168.2.10', 500), false)

  const before = fixture.broker.gateway.counters().drops['selector-refused'] ?? 0
  a.netstack.setAddresses(['192.168.7.7'])
  assert.equal(await a.reaches(fixture.registry.fleet.broker[1]!, 300), false)
  assert.equal(fixture.broker.gateway.counters().drops['selector-refused'] ?? 0, before, 'its own end keeps such packets')
})

test('a device has one association: the suite in which it came last', async () => {
  const { client, principal, key } = await fixture.join('device', 'both')
  const { credential, issued } = await certify(fixture, 'both')
  await fixture.registry.certificates.record({ ...issued, principalId: principal.id })
  assert.notEqual(await client.core.netstack.ping(inner6(), { timeoutMs: 2_000 }), undefined)
  const before = fixture.broker.gateway.counters().associations
  const peer = await dial({ credential, id: 'both', addresses: principal.addresses })
  await peer.up()
  assert.equal(await peer.reaches(inner6()), true)
  assert.equal(fixture.broker.gateway.counters().associations, before)
  assert.equal(fixture.broker.gateway.presence(principal).suite, 'esp')
  // And back: what the other suite had does not drag the device down as it goes.
  await client.stop()
  const again = await fixture.dial(principal, key)
  await again.up()
  assert.notEqual(await again.core.netstack.ping(inner6(), { timeoutMs: 2_000 }), undefined)
  const { state, suite } = fixture.broker.gateway.presence(principal)
  assert.deepEqual([state, suite], ['up', 'noise'])
  assert.equal(fixture.broker.gateway.counters().associations, before)
})

test('a peer is held to the suites of its entry; another may not use them', async () => {
  const own = ['aes128-sha256-modp2048']
  const { principal, credential } = await enlistIpsec(fixture, 'old-box', { ikeProposals: own, espProposals: ['aes128-sha256'] })
  const options = { credential, id: 'CN=old-box', addresses: principal.addresses }
  const refused = await dial({ ...options, ike: ['aes256gcm16-prfsha256-x25519'], esp: ['aes128-sha256'] })
  await eventually(async () =>
    (await failures('old-box')).some(({ message }) => message.includes('not among what device old-box may use')),
  )
  refused.endpoint.removePeer(refused.association)
  const peer = await dial({ ...options, ike: own, esp: ['aes128-sha256'] })
  await peer.up()
  assert.equal(await peer.reaches(inner6()), true)
})

test('a certificate that is revoked ends the association that stands on it, though its device stays', async () => {
  const { principal, credential } = await enlistIpsec(fixture, 'two-papers')
  const peer = await dial({ credential, id: 'CN=two-papers', addresses: principal.addresses })
  await peer.up()
  const [first] = await fixture.registry.certificates.list(principal.id)
  const { issued } = await certify(fixture, 'two-papers')
  await fixture.registry.certificates.record({ ...issued, principalId: principal.id })
  assert.equal(peer.isUp, true)
  await fixture.registry.certificates.revoke(first!.issuerHex, first!.serialHex)
  await eventually(() => !peer.isUp, 1_000, 'the farewell')
  await eventually(async () => (await failures('two-papers')).some(({ message }) => message.includes('revoked')))
})

test('a peer that closes its association is down at once', async () => {
  const { principal, credential } = await enlistIpsec(fixture, 'polite')
  const peer = await dial({ credential, id: 'CN=polite', addresses: principal.addresses })
  await peer.up()
  peer.leave()
  await eventually(() => fixture.broker.gateway.presence(principal).state === 'down', 1_000, 'down')
})

test('after a restart of the broker a peer is back with its session ticket, without public-key work', async () => {
  const other = await BrokerFixture.start()
  const { principal, credential } = await enlistIpsec(other, 'faithful')
  const peer = await IpsecPeer.dial(other, { credential, id: 'CN=faithful', addresses: principal.addresses })
  await peer.up()
  assert.equal(await peer.reaches(other.registry.fleet.broker[0]!), true)
  await eventually(async () => (await other.registry.presence.loadEndpoints()).length === 1)
  await other.restart()
  const from = performance.now()
  await eventually(() => peer.exchanges.includes(ExchangeType.IkeSessionResume), 10_000, 'the resumption')
  await eventually(() => peer.events.filter(({ kind }) => kind === 'established').length === 2, 5_000, 'the session')
  assert.ok(performance.now() - from < 8_000)
  assert.equal(await peer.reaches(other.registry.fleet.broker[0]!), true)
  // That the former broker does not answer is all that it has to complain of.
  assert.deepEqual(
    peer.failures.filter(({ code }) => code !== 'timeout'),
    [],
  )
  await peer.stop()
  await other.end()
})

test('bare IKE on a second port is answered there, without a marker', async () => {
  const port500 = { address: '127.0.0.1', port: 0 }
  const other = await BrokerFixture.start({ ipsec: { ...config.ipsec!, port500 } })
  const { credential } = await enlistIpsec(other, 'bare')
  const peer = await IpsecPeer.dial(other, { credential, id: 'CN=bare', addresses: ['fd00::5'] })
  await eventually(() => peer.sent.length > 0)
  await peer.stop()
  const socket = createSocket('udp4')
  const answer = new Promise<Buffer>((resolve) => socket.once('message', resolve))
  const [init] = peer.sent
  const port = Number(other.broker.gateway.listenBare?.split(':').at(-1))
  socket.send(init!.subarray(4), port, '127.0.0.1')
  const said = await answer
  assert.deepEqual(said.subarray(0, 8), Buffer.from(init!.subarray(4, 12)), 'its own SPI comes first, not a marker')
  assert.equal(said[18], ExchangeType.IkeSaInit)
  socket.close()
  await other.end()
})

test('a broker that stops sends its peers to the other gateway', async () => {
  const other = await BrokerFixture.start({ ipsec: { ...config.ipsec!, redirectTo: 'standby.example.net' } })
  const { principal, credential } = await enlistIpsec(other, 'moved')
  const peer = await IpsecPeer.dial(other, { credential, id: 'CN=moved', addresses: principal.addresses })
  await peer.up()
  await other.broker.drain()
  await eventually(() => peer.redirects.length > 0, 2_000, 'the redirect')
  assert.deepEqual(peer.redirects, ['standby.example.net'])
  await peer.stop()
  await other.end()
})
