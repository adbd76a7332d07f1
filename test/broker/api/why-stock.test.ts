import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'

interface Fact {
  code: string
  mend: string
}

test('who looks after a device without our agent is not sent to an agent', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { registry, gateway } = fixture
  const ann = await fixture.enrol('operator', { name: 'ann', admin: true })
  await fixture.enrol('device', { name: 'pump' })
  await registry.devices.addWireguard({ name: 'plc', tunnelKey: Buffer.from(nativeSuite.random(32)).toString('hex') })
  await registry.ipsecPeers.add({ name: 'plant', proof: { psk: nativeSuite.random(32) } })
  gateway.answers = false
  const mendOf = async (device: string, code: string): Promise<string> => {
    const { facts } = (await fixture.ask(`/v1/devices/${device}/why`, { as: ann })).json as { facts: Fact[] }
    return facts.find((fact) => fact.code === code)?.mend ?? ''
  }
  for (const [device, begin, look] of [
    ['pump', /^Start its agent \(adit-agent run\)/, /adit-agent doctor\.$/],
    ['plc', /wg-quick up/, /wg show\.$/],
    ['plant', /swanctl --initiate --child adit/, /swanctl --list-sas/],
  ] as const) {
    const never = await mendOf(device, 'device-never-up')
    assert.match(never, begin)
    assert.match(never, look)
    assert.equal(never.includes('adit-agent'), device === 'pump', never)
    gateway.presences.set(device, { state: 'down', lastAuthentic: fixture.clock.ms - 60_000, endpoint: '192.0.2.7:4500' })
    assert.match(await mendOf(device, 'device-offline'), look)
    await registry.devices.revoke(device)
    assert.equal(await mendOf(device, 'device-offline'), '', 'of a device that is out nothing further down is asked')
    assert.match(await mendOf(device, 'device-revoked'), device === 'pump' ? /new claim/ : /^Register it again.*device add/)
  }
})
