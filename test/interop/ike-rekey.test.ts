import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { connectionSetting, edits, IpsecTown } from '#test/lab/ipsec-town.ts'

const every = (pattern: RegExp, value: string) => (conf: string) => conf.replace(pattern, value)

test('strongSwan and what happens to a long association', async (t) => {
  const town = await IpsecTown.open(t, { config: '[ipsec]\nport500 = ":500"\nredirect-to = "10.99.200.1"\n' })
  const [inner = ''] = town.inner

  await t.test('P-27 both SAs are rekeyed under traffic, by time and by swanctl at once: no inner packet is lost', async (t) => {
    const peer = await town.peer(t, 'busy', {
      edit: edits(
        every(/rekey_time\s*=.*/g, 'rekey_time = 3s'),
        connectionSetting('over_time', '120s'),
        every(/^( *)esp_proposals.*$/m, '$&\n$1life_time = 120s'),
      ),
    })
    await peer.up()
    const pings = peer.host.pings(inner, 125)
    for (let round = 0; round < 8; round++) {
      await wait(2_900)
      await peer.swan.ctl('--rekey', round % 2 === 0 ? '--ike' : '--child', 'adit')
    }
    assert.equal(await pings, 125)
    const times = (pattern: RegExp): number => peer.swan.log.match(pattern)?.length ?? 0
    assert.ok(times(/IKE_SA adit\[\d+\] rekeyed/g) >= 1, 'IKE SAs')
    assert.ok(times(/CHILD_SA adit\{\d+\} established/g) >= 2, 'Child SAs')
    assert.ok(times(/TEMPORARY_FAILURE/g) >= 1, 'A-10 more often than every ten seconds is put off')
    const sas = await peer.swan.sas()
    assert.equal(sas.match(/ESTABLISHED/g)?.length, 1, sas)
    assert.equal(sas.match(/INSTALLED/g)?.length, 1, sas)
  })

  await t.test('P-06 a black-out of 13 s: the association outlives it', async (t) => {
    const peer = await town.peer(t, 'dark', { edit: every(/dpd_delay\s*=.*/g, 'dpd_delay = 2s') })
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
    const before = await peer.ikeSpi()
    town.srv.nft('table ip dark { chain in { type filter hook input priority 0; policy drop; }; }')
    await wait(13_000)
    town.srv.nft('delete table ip dark')
    t.diagnostic(`data flows ${await peer.reaches(inner)} ms after the black-out`)
    assert.match(peer.swan.log, /retransmit \d of request/, 'it asked meanwhile')
    assert.equal(await peer.ikeSpi(), before, 'the same IKE SA')
  })

  await t.test('MOBIKE: the peer gets another address and goes on', async (t) => {
    const peer = await town.peer(t, 'mobile')
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
    const before = await peer.ikeSpi()
    const link = peer.host.ip('-o -4 addr show scope global')
    const [, device = '', net = ''] = /(v\d+[ab]) +inet 10\.99\.(\d+)\.2\/24/.exec(link) ?? []
    peer.host.addAddress(`10.99.${net}.77/24`, device)
    peer.host.ip(`addr del 10.99.${net}.2/24 dev ${device}`)
    t.diagnostic(`data flows ${await peer.reaches(inner)} ms after the move`)
    await peer.until(new RegExp(`10\\.99\\.${net}\\.77\\[4500\\]`))
    assert.equal(await peer.ikeSpi(), before, 'the same IKE SA')
    assert.match(peer.swan.log, /UPD_SA_ADDR/)
  })

  await t.test('a broker that stops sends its peers elsewhere (RFC 5685)', async (t) => {
    const peer = await town.peer(t, 'sent')
    // The other gateway: the same broker, when it is back, at another address; charon asks there at port 500.
    town.srv.addAddress('10.99.200.1/32', 'lo')
    peer.host.ip(`route add 10.99.200.1 via ${peer.gateway}`)
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
    await town.fleet.broker.stop()
    await town.fleet.startBroker()
    await peer.until(/ESTABLISHED[\s\S]*10\.99\.200\.1\[4500\]/, 30_000)
    assert.match(peer.swan.log, /redirected to 10\.99\.200\.1/)
    await peer.reaches(inner)
  })
})
