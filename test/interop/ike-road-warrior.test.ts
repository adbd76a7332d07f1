import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { IpsecTown } from '#test/lab/ipsec-town.ts'
import { Sshd } from '#test/lab/sshd.ts'

/** strongSwan, which none of us wrote, as a device of the broker: with the folder that `device add --ipsec` writes and nothing else. */

interface DeviceRow {
  name: string
  state: string
  suite: string | null
}

describe('strongSwan as a road warrior', () => {
  test('takes the folder as it is: connects, is given its addresses, is pinged both ways, is seen, is reached by ssh', async (t) => {
    const town = await IpsecTown.open(t)
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
  })

  test('comes over IPv6 too', async (t) => {
    const town = await IpsecTown.open(t)
    const peer = await town.peer(t, 'six', { words: ['--endpoint', '[fd99::1]:4500'] })
    await peer.up()
    assert.equal(await peer.host.pings(town.inner[0]!, 3), 3)
  })

  test('a broker killed and started: the peer is back by itself; charon killed and started: at once', async (t) => {
    const town = await IpsecTown.open(t)
    const peer = await town.peer(t, 'steady', { edit: (conf) => conf.replace(/dpd_delay = .*/, 'dpd_delay = 2s') })
    await peer.up()
    assert.equal(await peer.host.pings(town.inner[0]!, 2), 2)
    await town.fleet.crashBroker()
    const from = performance.now()
    while ((await peer.host.pings(town.inner[0]!, 1)) === 0) assert.ok(performance.now() - from < 60_000, 'no data for a minute')
    t.diagnostic(`data flows ${Math.round(performance.now() - from)} ms after the broker was ready`)

    await peer.swan.kill()
    await peer.swan.launch()
    await peer.swan.load(peer.folder)
    await peer.up()
    assert.equal(await peer.host.pings(town.inner[0]!, 3), 3)
    const { sessions } = await town.fleet.admin<{ sessions: number }>('status')
    assert.equal(sessions, 1, 'the former association is gone')
  })

  test('a revoked peer is cut within a second and not let in again', async (t) => {
    const town = await IpsecTown.open(t)
    const peer = await town.peer(t, 'gone')
    await peer.up()
    assert.equal(await peer.host.pings(town.inner[0]!, 2), 2)
    await town.fleet.admin('device', 'revoke', 'gone')
    await wait(1_000)
    assert.equal(await peer.host.pings(town.inner[0]!, 2), 0)
    await peer.swan.ctl('--terminate', '--ike', 'adit', '--force')
    assert.match(await peer.refused(), /AUTHENTICATION_FAILED/)
  })
})
