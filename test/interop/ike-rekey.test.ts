import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { IpsecTown } from '#test/lab/ipsec-town.ts'

describe('strongSwan and rekeying', () => {
  test('P-27 both SAs are rekeyed under traffic, by the peer and by swanctl at once: no inner packet is lost', async (t) => {
    const town = await IpsecTown.open(t)
    const peer = await town.peer(t, 'busy', {
      edit: (conf) => conf.replace(/rekey_time\s*=.*/g, 'rekey_time = 3s').replace(/life_time\s*=.*/g, 'life_time = 20s'),
    })
    await peer.up()
    const [inner = ''] = town.inner
    const pings = peer.host.pings(inner, 150)
    for (let round = 0; round < 8; round++) {
      await wait(3_000)
      await peer.swan.ctl('--rekey', round % 2 === 0 ? '--ike' : '--child', 'adit')
    }
    assert.equal(await pings, 150)
    const sas = await peer.swan.sas()
    assert.equal(sas.match(/ESTABLISHED/g)?.length, 1, sas)
    assert.equal(sas.match(/INSTALLED/g)?.length, 1, sas)
  })

  test('P-06 a black-out of 13 s: the association outlives it', async (t) => {
    const town = await IpsecTown.open(t)
    const peer = await town.peer(t, 'dark', { edit: (conf) => conf.replace(/dpd_delay\s*=.*/g, 'dpd_delay = 2s') })
    await peer.up()
    const [inner = ''] = town.inner
    assert.equal(await peer.host.pings(inner, 2), 2)
    const before = /(\w{16})_i/.exec(await peer.swan.sas())?.[1]
    town.srv.nft('table ip dark { chain in { type filter hook input priority 0; drop; } }')
    await wait(13_000)
    town.srv.nft('delete table ip dark')
    const from = performance.now()
    while ((await peer.host.pings(inner, 1)) === 0) assert.ok(performance.now() - from < 15_000, 'it does not come back')
    t.diagnostic(`data flows ${Math.round(performance.now() - from)} ms after the black-out`)
    assert.equal(/(\w{16})_i/.exec(await peer.swan.sas())?.[1], before, 'the same IKE SA')
  })

  test('MOBIKE: the peer gets another address and goes on', async (t) => {
    const town = await IpsecTown.open(t)
    const peer = await town.peer(t, 'mobile')
    await peer.up()
    const [inner = ''] = town.inner
    assert.equal(await peer.host.pings(inner, 2), 2)
    const before = /(\w{16})_i/.exec(await peer.swan.sas())?.[1]
    const device = /(v\d+[ab])@/.exec(peer.host.ip('link show'))?.[1]
    assert.ok(device)
    peer.host.addAddress('10.99.0.77/24', device)
    peer.host.ip(`addr del 10.99.0.2/24 dev ${device}`)
    const from = performance.now()
    while ((await peer.host.pings(inner, 1)) === 0) assert.ok(performance.now() - from < 15_000, 'it does not come back')
    assert.equal(/(\w{16})_i/.exec(await peer.swan.sas())?.[1], before, 'the same IKE SA')
  })
})
