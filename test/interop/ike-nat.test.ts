import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { IpsecTown, setting } from '#test/lab/ipsec-town.ts'
import type { Host } from '#test/lab/namespaces.ts'
import { type NatKind, NatNetwork } from '#test/lab/nat-network.ts'

/** strongSwan behind the NATs of the field, and on paths that swallow large packets. */

for (const kind of ['easy', 'symmetric'] as const) {
  test(`behind a NAT that is ${kind}`, async (t) => {
    const { network, town, endpoint } = await townBehind(t, kind)
    const [inner = ''] = town.inner
    const peer = await town.peer(t, 'pump', { host: network.dev, endpoint })
    await peer.up()
    for (const address of town.inner) assert.equal(await peer.host.pings(address, 3), 3)
    const spi = await peer.swan.ikeSpi()

    await t.test('P-06 the NAT forgets its mappings: data flows on from a new one', async (t) => {
      network.forget()
      t.diagnostic(`data flows after ${await peer.reaches(inner, 8_000)} ms`)
    })

    await t.test('P-06 the provider gives another public address: the broker follows the data', async (t) => {
      network.renumber()
      t.diagnostic(`data flows after ${await peer.reaches(inner, 8_000)} ms`)
      assert.equal(await peer.swan.ikeSpi(), spi, 'by the same IKE SA')
      assert.equal((await peer.swan.ctl('--rekey', '--ike', 'adit')).status, 0, 'IKE follows too')
      assert.equal(await peer.host.pings(inner, 3), 3)
    })

    await t.test('two peers behind the one NAT', async (t) => {
      const second = besides(network)
      const other = await town.peer(t, 'twin', { host: second, endpoint })
      await other.up()
      const answered = await Promise.all([peer, other].map(({ host }) => host.pings(inner, 15)))
      assert.deepEqual(answered, [15, 15])
      const { devicesUp } = await town.fleet.admin<{ devicesUp: number }>('status')
      assert.equal(devicesUp, 2)
    })

    if (kind === 'easy') await moreBehindEasy(t, network, town, endpoint)
  })
}

async function moreBehindEasy(t: TestContext, network: NatNetwork, town: IpsecTown, endpoint: string): Promise<void> {
  const [inner = ''] = town.inner

  await t.test('bare IKE at port 500, which floats to 4500', async (t) => {
    const host = besides(network, 9)
    const edit = (conf: string): string => conf.replace(/^ *(remote|local)_port.*\n/gm, '').replace(/^ *encap.*\n/m, '')
    const peer = await town.peer(t, 'bare', { host, endpoint, edit })
    await peer.up()
    assert.match(peer.swan.log, /from 192\.168\.9\.2\[500\] to 198\.51\.100\.2\[500\]/)
    assert.match(peer.swan.log, /from 192\.168\.9\.2\[4500\] to 198\.51\.100\.2\[4500\]/)
    assert.equal(await peer.host.pings(inner, 3), 3)
  })

  await t.test(
    'P-25 a path that swallows what is longer than 1280 bytes: IKE fragments itself, no IP fragment is seen',
    async (t) => {
      network.core.nft(`table ip narrow {
      counter fragments { }
      counter swallowed { }
      chain before { type filter hook prerouting priority -450; ip frag-off & 0x3fff != 0 counter name fragments; }
      chain passing { type filter hook forward priority 1; meta length > 1280 counter name swallowed drop; }
    }`)
      const host = besides(network, 10)
      // The longest that a device add makes: 384 bytes of key, 384 of signature.
      const peer = await town.peer(t, 'long', { host, endpoint, words: ['--key-type', 'rsa3072'] })
      await peer.up()
      assert.equal(await peer.host.pings(inner, 3), 3)
      assert.match(peer.swan.log, /generating IKE_AUTH request 1 \[ EF\(1\/2\) \]/, 'its own fragments')
      assert.match(peer.swan.log, /parsed IKE_AUTH response 1 \[ EF\(2\/2\) \]/, 'and ours')
      assert.equal(counter(network.core, 'fragments'), 0)
      assert.equal(counter(network.core, 'swallowed'), 0)
      network.core.nft('delete table ip narrow')
      await peer.reload(setting('fragmentation', 'no'))
      // Without fragments of IKE the message is an IP packet too long for this path: it would never have arrived.
      await peer.up()
    },
  )
}

async function townBehind(t: TestContext, kind: NatKind) {
  const network = new NatNetwork(t, { kind })
  const config = '[ipsec]\nport500 = ":500"\n'
  const town = await IpsecTown.open(t, { srv: network.srv, config })
  return { network, town, endpoint: `${network.server}:4500` }
}

/** Another host on a wire of its own to the NAT. */
function besides({ internet, nat }: NatNetwork, net = 8): Host {
  const host = internet.host(`dev${net}`)
  internet.link({ host, addresses: [`192.168.${net}.2/24`] }, { host: nat, addresses: [`192.168.${net}.1/24`] })
  host.ip(`route add default via 192.168.${net}.1`)
  return host
}

const counter = (host: Host, name: string): number =>
  Number(/packets (\d+)/.exec(host.run('nft', 'list', 'counter', 'ip', 'narrow', name))?.[1])
