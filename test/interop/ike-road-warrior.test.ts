import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { IpsecTown, setting } from '#test/lab/ipsec-town.ts'
import { Sshd } from '#test/lab/sshd.ts'

/** strongSwan, which none of us wrote, as a device of the broker: with the folder that `device add --ipsec` writes and nothing else. */

interface DeviceRow {
  name: string
  state: string
  suite: string | null
}

test('strongSwan as a road warrior', async (t) => {
  const town = await IpsecTown.open(t)
  const [inner = ''] = town.inner

  await t.test(
    'takes the folder as it is: connects, is given its addresses, is pinged, is seen, is reached by ssh',
    async (t) => {
      const peer = await town.peer(t, 'pump')
      await peer.up()
      const sas = await peer.swan.sas()
      assert.match(sas, /adit: .*ESTABLISHED, IKEv2/)
      assert.match(sas, /adit: .*INSTALLED, TUNNEL-in-UDP/)
      for (const address of town.inner) assert.equal(await peer.host.pings(address, 5), 5, `${address} answers`)

      const ann = await town.fleet.operator('ann')
      await town.fleet.grant('ann', 'pump', 22)
      const devices: DeviceRow[] = JSON.parse(await ann.must(['devices', '--json']))
      const pump = devices.find(({ name }) => name === 'pump')
      assert.deepEqual([pump?.state, pump?.suite], ['up', 'esp'])

      const sshd = await Sshd.start(t, { prefix: peer.host.prefix, address: '::', port: 22 })
      await ann.must(['ssh', ...sshd.flags, '-l', sshd.user, 'pump', '--', 'true'])
      const said = await ann.must(['ssh', ...sshd.flags, '-l', sshd.user, 'pump', '--', 'echo', 'hello'])
      assert.equal(said, 'hello\n')
      const bob = await town.fleet.operator('bob')
      assert.equal(await bob.refused(['ssh', ...sshd.flags, '-l', sshd.user, 'pump', '--', 'true']), 'forbidden')
    },
  )

  await t.test('comes over IPv6 too', async (t) => {
    const peer = await town.peer(t, 'six', { endpoint: '[fd99:0:0:1::1]:4500' })
    await peer.up()
    for (const address of town.inner) assert.equal(await peer.host.pings(address, 3), 3)
  })

  await t.test('a revoked peer is cut within a second and not let in again', async (t) => {
    const peer = await town.peer(t, 'gone')
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
    await town.fleet.admin('device', 'revoke', 'gone')
    await wait(1_000)
    assert.equal(await peer.host.pings(inner, 2), 0)
    await peer.down()
    assert.match(await peer.refused(), /AUTHENTICATION_FAILED/)
  })

  await t.test('a broker killed and started: the peer is back by itself; charon killed and started: at once', async (t) => {
    // charon repeats a request for 165 s before it begins anew, unless it is told otherwise.
    const settings = ['retransmit_timeout = 1', 'retransmit_base = 1.4', 'retransmit_tries = 3']
    const peer = await town.peer(t, 'steady', { edit: setting('dpd_delay', '2s'), charon: { settings } })
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
    await town.fleet.crashBroker()
    t.diagnostic(`data flows ${await peer.reaches(inner, 60_000)} ms after the broker was ready`)

    await peer.swan.kill()
    await peer.swan.launch()
    await peer.swan.load(peer.folder)
    await peer.up()
    assert.equal(await peer.host.pings(inner, 3), 3)
    const { counters } = await town.fleet.admin<{ counters: { espSessions: number } }>('status')
    assert.equal(counters.espSessions, 1, 'the former association is gone')
  })
})
