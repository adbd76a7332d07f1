import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BrokerFixture } from '#test/broker/broker-fixture.ts'
import { enlistIpsec, IpsecPeer } from '#test/broker/ipsec-peer.ts'

test('what an IPsec peer’s association stands on: suites, networks, packets; nothing of who has none', async (t) => {
  const fixture = await BrokerFixture.start()
  t.after(() => fixture.end())
  const { gateway } = fixture.broker
  const { principal, credential } = await enlistIpsec(fixture, 'plant', { subnets: ['192.168.1.0/24'] })
  assert.equal(gateway.securityAssociations(principal), undefined)
  const options = { credential, id: 'CN=plant', addresses: principal.addresses }
  const peer = await IpsecPeer.dial(fixture, { ...options, local: [...principal.addresses, '192.168.1.0/24'] })
  t.after(() => peer.stop())
  await peer.up()
  assert.equal(await peer.reaches(fixture.registry.fleet.broker[0]!), true)
  const facts = gateway.securityAssociations(principal)
  assert.match(facts?.ike ?? '', /^aes256gcm16-prfsha\d+-x25519$/)
  const [child, ...others] = facts?.childSas ?? []
  assert.equal(others.length, 0)
  assert.match(child?.esp ?? '', /^aes256gcm16(-esn)?$/)
  assert.match(`${child?.inboundSpi} ${child?.outboundSpi}`, /^[89a-f][0-9a-f]{7} [89a-f][0-9a-f]{7}$/)
  assert.ok(child?.remote.includes('192.168.1.0/24'), child?.remote.join())
  assert.ok(child?.local.includes(fixture.registry.fleet.prefix), child?.local.join())
  assert.ok((child?.packets ?? 0) >= 2 && (child?.bytes ?? 0) > 100)
})
