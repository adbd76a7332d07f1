import assert from 'node:assert/strict'
import test from 'node:test'
import type { LiveTunnel } from '#broker/admin/office.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { Cli, openDesk } from '#test/broker/cli/cli-fixture.ts'

const cli = new Cli()
const childSa = {
  inboundSpi: '80000001',
  outboundSpi: 'c0000002',
  esp: 'aes256gcm16',
  local: ['100.64.0.0/10'],
  remote: ['192.168.1.0/24'],
  ageSeconds: 7,
  packets: 4,
  bytes: 512,
}
const live: LiveTunnel = {
  presence: {
    state: 'up',
    suite: 'esp',
    endpoint: '192.0.2.7:4500',
    since: Date.UTC(2026, 0, 1),
    lastAuthentic: Date.UTC(2026, 0, 2),
  },
  esp: { ike: 'aes256gcm16-prfsha256-x25519', childSas: [childSa] },
}
const psk = () => ({ psk: nativeSuite.random(32) })

test('device show: suite, subnets and Child SAs of an IPsec peer that is up', async (t) => {
  const { data, registry } = await openDesk(t, cli, { tunnel: () => live })
  await registry.ipsecPeers.add({
    name: 'plant',
    proof: psk(),
    subnets: ['192.168.1.0/24'],
    espProposals: ['aes256gcm16-x25519'],
  })
  const shown = await cli.json<Record<string, unknown>>('device', 'show', 'plant', '--data', data)
  assert.deepEqual([shown.suite, shown.subnets], ['esp', ['192.168.1.0/24']])
  assert.deepEqual(shown.ipsec, { identity: 'plant', proof: 'psk', ike: [], esp: ['aes256gcm16-x25519'] })
  assert.deepEqual(shown.tunnel, {
    state: 'up',
    suite: 'esp',
    endpoint: '192.0.2.7:4500',
    since: '2026-01-01T00:00:00.000Z',
    heard: '2026-01-02T00:00:00.000Z',
    keepalive: null,
    ike: 'aes256gcm16-prfsha256-x25519',
    childSas: [childSa],
  })
  const { out } = await cli.run('device', 'show', 'plant', '--data', data)
  for (const line of [
    /^suite +esp$/m,
    /^subnets +192\.168\.1\.0\/24$/m,
    /^ipsec\.esp +aes256gcm16-x25519$/m,
    /^tunnel\.state +up$/m,
    /^tunnel\.ike +aes256gcm16-prfsha256-x25519$/m,
    /^tunnel\.childSas +aes256gcm16, 192\.168\.1\.0\/24 === 100\.64\.0\.0\/10, 7 s old, 4 packets, 512 bytes, SPIs 80000001 in, c0000002 out$/m,
  ]) {
    assert.match(out, line)
  }
})

test('device show without a broker: what the registry knows', async (t) => {
  const { data, registry } = await openDesk(t, cli)
  await registry.ipsecPeers.add({ name: 'plant', proof: psk() })
  assert.equal((await cli.json<{ tunnel: unknown }>('device', 'show', 'plant', '--data', data)).tunnel, null)
  assert.match((await cli.run('device', 'show', 'plant', '--data', data)).out, /^tunnel +-$/m)
})
