import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { edits, IpsecTown } from '#test/lab/ipsec-town.ts'
import { seen } from '#test/lab/seen.ts'

const every = (pattern: RegExp, value: string) => (conf: string) => conf.replace(pattern, value)

test('strongSwan and what happens to a long association', async (t) => {
  const town = await IpsecTown.open(t, { config: '[ipsec]\nport500 = ":500"\nredirect-to = "10.99.200.1"\n' })
  const [inner = ''] = town.inner

  await t.test('P-27 both SAs are rekeyed under traffic, by time and at will: no inner packet is lost', async (t) => {
    const peer = await town.peer(t, 'busy', {
      edit: edits(
        every(/(children[\s\S]*?rekey_time\s*=).*/, '$1 12s'),
        every(/^( *)esp_proposals.*$/m, '$&\n$1life_time = 120s\n$1rand_time = 0s'),
      ),
    })
    await peer.up()
    const times = (pattern: RegExp): number => peer.swan.log.match(pattern)?.length ?? 0
    const rekey = (what: string) => peer.swan.ctl('--rekey', what, 'adit')
    const pings = peer.host.pings(inner, 130)
    for (const what of ['--ike', '--child', '--child']) await rekey(what)
    await wait(23_000)
    const rekeyed = /IKE_SA adit\[\d+\] rekeyed/g
    // One may meet a Child SA's by time, which puts it off (RFC 7296 §2.25.2): then it is asked for again.
    for (let tries = 0; times(rekeyed) < 2 && tries < 5; tries++) {
      await rekey('--ike')
      await seen(
        () => times(rekeyed),
        (count) => count >= 2,
        { timeoutMs: 3_000, otherwise: () => '' },
      ).catch(() => {})
    }
    assert.equal(await pings, 130)
    assert.ok(times(rekeyed) >= 2, peer.swan.log)
    assert.ok(times(/inbound CHILD_SA adit\{\d+\} established/g) >= 1, peer.swan.log)
    assert.ok(times(/TEMPORARY_FAILURE|N\(TEMP_FAIL\)/g) >= 1, 'A-10 more often than every ten seconds is put off')
    const sas = await peer.swan.sas()
    assert.equal(sas.match(/ESTABLISHED/g)?.length, 1, sas)
    assert.equal(sas.match(/INSTALLED/g)?.length, 1, sas)
  })

  await t.test('P-06 a black-out of 13 s: the association outlives it', async (t) => {
    const peer = await town.peer(t, 'dark', { edit: every(/dpd_delay\s*=.*/g, 'dpd_delay = 2s') })
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
    const before = await peer.swan.ikeSpi()
    town.srv.nft('table ip dark { chain in { type filter hook input priority 0; policy drop; }; }')
    await wait(13_000)
    town.srv.nft('delete table ip dark')
    t.diagnostic(`data flows ${await peer.reaches(inner)} ms after the black-out`)
    assert.match(peer.swan.log, /retransmit \d of request/, 'it asked meanwhile')
    assert.equal(await peer.swan.ikeSpi(), before, 'the same IKE SA')
  })

  await t.test('MOBIKE: the peer gets another address and goes on', async (t) => {
    const peer = await town.peer(t, 'mobile')
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
    const before = await peer.swan.ikeSpi()
    const link = peer.host.ip('-o -4 addr show scope global')
    const [, device = '', net = ''] = /(v\d+[ab]) +inet 10\.99\.(\d+)\.2\/24/.exec(link) ?? []
    peer.host.addAddress(`10.99.${net}.77/24`, device)
    peer.host.ip(`addr del 10.99.${net}.2/24 dev ${device}`)
    t.diagnostic(`data flows ${await peer.reaches(inner)} ms after the move`)
    await peer.until(new RegExp(`10\\.99\\.${net}\\.77\\[4500\\]`))
    assert.equal(await peer.swan.ikeSpi(), before, 'the same IKE SA')
    assert.match(peer.swan.log, /UPD_SA_ADDR/)
  })

  await t.test('a broker that stops sends its peers elsewhere (RFC 5685)', async (t) => {
    const peer = await town.peer(t, 'sent')
    // The other gateway: the same broker at another address, which is there once it is back; charon asks there at port 500.
    peer.host.ip(`route add 10.99.200.1 via ${peer.gateway}`)
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
    await town.fleet.broker.stop()
    town.srv.addAddress('10.99.200.1/32', 'lo')
    await town.fleet.startBroker()
    await peer.until(/ESTABLISHED[\s\S]*10\.99\.200\.1\[4500\]/, 30_000)
    assert.match(peer.swan.log, /redirected to 10\.99\.200\.1/)
    await peer.reaches(inner)
  })
})
