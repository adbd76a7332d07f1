import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { nativeSuite } from '#shared/crypto/native.ts'
import { DeviceClient } from '#test/broker/device-client.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { Sshd } from '#test/lab/sshd.ts'
import { values, WireguardGo, type WireguardKeys, wireguardKeys } from '#test/lab/wireguard-go.ts'

/** wireguard-go, which none of us wrote, judges our WireGuard: as a device of the broker, and as the responder of our agent. */

interface Town {
  dev: Host
  srv: Host
  fleet: Fleet
  keys: WireguardKeys
  config: string
  inner: string[]
  devLink: string
}

/** A broker at 10.99.0.1, a registered stock device at 10.99.0.2. */
async function town(t: TestContext, name: string): Promise<Town> {
  const internet = Internet.open(t)
  const dev = internet.host('dev')
  const srv = internet.host('srv')
  const [devLink] = internet.link(
    { host: dev, addresses: ['10.99.0.2/24', 'fd99::2/64'] },
    { host: srv, addresses: ['10.99.0.1/24', 'fd99::1/64'] },
  )
  const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: ':4500', api: '10.99.0.1:8443' })
  const keys = wireguardKeys()
  const config = await fleet.wireguardDevice(name, keys)
  const { inner } = await fleet.admin<{ inner: string[] }>('status')
  return { dev, srv, fleet, keys, config, inner, devLink }
}

describe('wireguard-go', { concurrency: true }, () => {
  test('joins as a device: pings both ways, ssh, another address and family, a broker killed and started', async (t) => {
    const { dev, fleet, config, inner, devLink } = await town(t, 'stock')

    // A stock config and nothing else: wg-quick's keys, prefix lengths, the broker's own endpoint, routes that cover its addresses.
    assert.match(config, /^\[Interface\]$/m)
    assert.match(config, /^\[Peer\]$/m)
    for (const line of config.split('\n')) assert.match(line, /^(\[\w+\]|#.*|\w+ = .+|)$/, line)
    const addresses = values(config, 'Address')
    assert.deepEqual(
      addresses.map((address) => address.split('/')[1]),
      ['128', '32'],
    )
    assert.match(values(config, 'Endpoint')[0]!, /^(10\.99\.0\.1|\[fd99::1\]):4500$/)

    const peer = await WireguardGo.start(t, { host: dev, config })
    for (const address of inner) assert.equal(await dev.pings(address, 5), 5, `${address} answers`)

    await t.test('an operator with a grant reaches its ssh; one without does not', async (t) => {
      const sshd = await Sshd.start(t, { prefix: dev.prefix, address: '::', port: 22 })
      const ann = await fleet.operator('ann')
      const bob = await fleet.operator('bob')
      await fleet.grant('ann', 'stock', 22)
      await ann.must(['ssh', ...sshd.flags, '-l', sshd.user, 'stock', '--', 'true'])
      const said = await ann.must(['ssh', ...sshd.flags, '-l', sshd.user, 'stock', '--', 'echo $SSH_CONNECTION'])
      assert.match(said, /^fd[0-9a-f:]+ \d+ fd[0-9a-f:]+ 22\n$/)
      assert.equal(await bob.refused(['ssh', ...sshd.flags, '-l', sshd.user, 'stock', '--', 'true']), 'forbidden')
    })

    await t.test('P-03 roams: port, address, family', async () => {
      const before = peer.peer.latestHandshake
      for (const change of [
        () => peer.set('listen-port', '40123'),
        () => {
          dev.addAddress('10.99.0.77/24', devLink)
          dev.ip(`addr del 10.99.0.2/24 dev ${devLink}`)
          // wireguard-go sends from the address that it last received at; naming the endpoint makes it choose anew.
          peer.set('peer', values(config, 'PublicKey')[0]!, 'endpoint', '10.99.0.1:4500')
        },
        () => peer.set('peer', values(config, 'PublicKey')[0]!, 'endpoint', '[fd99::1]:4500'),
        () => peer.set('peer', values(config, 'PublicKey')[0]!, 'endpoint', '10.99.0.1:4500'),
      ]) {
        change()
        assert.equal(await dev.pings(inner[0]!, 5), 5, 'no probe is lost')
      }
      assert.equal(peer.peer.latestHandshake, before, 'without a handshake')
    })

    await t.test('a broker killed and started calls by itself: data flows within seconds, the device does nothing', async () => {
      // The broker writes endpoints in batches: give the last move its turn.
      await wait(6_000)
      const before = peer.peer
      await fleet.crashBroker()
      const from = performance.now()
      while (peer.peer.latestHandshake <= before.latestHandshake) {
        assert.ok(performance.now() - from < 8_000, 'the broker has not called')
        await wait(50)
      }
      t.diagnostic(`called ${Math.round(performance.now() - from)} ms after the broker was ready`)
      for (const address of inner) assert.equal(await dev.pings(address, 3), 3)
    })
  })

  test('survives rekeying: 140 s of pings over REKEY-AFTER-TIME, none lost', async (t) => {
    const { dev, config, inner } = await town(t, 'steady')
    const peer = await WireguardGo.start(t, { host: dev, config })
    assert.equal(await dev.pings(inner[0]!, 1), 1)
    const handshakes = new Set<number>()
    let lost = 0
    for (let second = 0; second < 140; second++) {
      handshakes.add(peer.peer.latestHandshake)
      lost += 1 - (await dev.pings(inner[second % inner.length]!))
      await wait(900)
    }
    assert.equal(lost, 0)
    assert.ok(handshakes.size >= 2, `${handshakes.size} sessions`)
  })

  test('is the responder of our agent: handshake, data both ways, and the other way round', async (t) => {
    const host = Internet.open(t).host('peer')
    const keys = wireguardKeys()
    const agentKey = nativeSuite.x25519.generate()
    const publicKey = Buffer.from(agentKey.publicKey).toString('base64')
    const ours = ['fd42:1::2', '100.64.0.2']
    const theirs = ['fd42:1::1', '100.64.0.1']
    const peer = await WireguardGo.start(t, {
      host,
      outerHere: true,
      config: `[Interface]
PrivateKey = ${keys.privateKey}
Address = ${theirs[0]}/128, ${theirs[1]}/32
MTU = 1280
[Peer]
PublicKey = ${publicKey}
AllowedIPs = ${ours[0]}/128, ${ours[1]}/32
`,
    })
    const agent = await DeviceClient.start({
      name: 'agent',
      addresses: ours,
      tunnelKey: agentKey,
      broker: {
        tunnelKey: Buffer.from(keys.publicKey, 'base64'),
        endpoint: `127.0.0.1:${peer.port}`,
        inner: theirs,
        routes: theirs.map((address) => `${address}/${address.includes(':') ? 64 : 24}`),
      },
    })
    t.after(() => agent.stop())
    await agent.up()
    for (const address of theirs) {
      const answered = await agent.core.netstack.ping(address, { bytes: 1_200, timeoutMs: 2_000 })
      assert.ok(answered !== undefined, `${address} answers us`)
    }
    for (const address of ours) assert.equal(await host.pings(address, 5), 5, `we answer at ${address}`)
    assert.equal(peer.peer.endpoint, `127.0.0.1:${agent.local.port}`)

    await agent.move()
    assert.ok(await agent.core.netstack.ping(theirs[0]!, { timeoutMs: 2_000 }))
    assert.equal(peer.peer.endpoint, `127.0.0.1:${agent.local.port}`, 'it follows our move')
  })
})
