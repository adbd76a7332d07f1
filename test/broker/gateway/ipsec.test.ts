import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { BrokerFixture, eventually } from '#test/broker/broker-fixture.ts'
import { enlistIpsec, IpsecPeer, type IpsecPeerOptions } from '#test/broker/ipsec-peer.ts'

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
  const peer = await IpsecPeer.start(fixture, options)
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
  assert.equal(await peer.pings(inner6()), true)
  assert.equal(await peer.pings(fixture.registry.fleet.broker[1]!), true)
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
  assert.equal(await peer.pings(inner6()), true)
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
  assert.equal(await peer.pings(inner6(), 300), false)
  assert.equal(fixture.broker.gateway.presence(principal).state, 'never')
  await eventually(async () => (await failures('doomed')).some(({ code }) => code === 'refused'))
  const [failure] = (await failures('doomed')).filter(({ code }) => code === 'refused')
  assert.match(failure?.message ?? '', /doomed is revoked/)
})
