import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { DeviceClient } from '#test/broker/device-client.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { values } from '#test/lab/wireguard-go.ts'

const probeEveryMs = 50
const probesPerMove = 4
const moves = 100

test('P-03 a hundred moves between ports, addresses and families, a probe every 50 ms: none re-keys, the first probe is back', async (t) => {
  const fleet = await Fleet.start(t, { listen: ':0' })
  const tunnelKey = nativeSuite.x25519.generate()
  const publicKey = Buffer.from(tunnelKey.publicKey).toString('base64')
  const config = await fleet.adminSays('device', 'add', '--name', 'nomad', '--wireguard', publicKey)
  const { inner } = await fleet.admin<{ inner: string[] }>('status')
  const port = Number(fleet.listen.split(':').at(-1))
  const nomad = await DeviceClient.start({
    name: 'nomad',
    tunnelKey,
    addresses: values(config, 'Address').map((address) => address.split('/')[0]!),
    broker: {
      tunnelKey: Buffer.from(values(config, 'PublicKey')[0]!, 'base64'),
      endpoint: `127.0.0.1:${port}`,
      inner,
      routes: values(config, 'AllowedIPs'),
    },
  })
  t.after(() => nomad.stop())
  await nomad.up()
  const { core } = nomad
  const association = core.association!
  const handshakes = association.counters.handshakes

  const lost: number[] = []
  const roundTrips: number[] = []
  for (let move = 0; move < moves; move++) {
    // Another port each time; 127.0.0.0/8 is ours as a whole; every third move changes the family.
    const address = move % 3 === 2 ? '::1' : `127.0.0.${2 + (move % 100)}`
    await nomad.move(address)
    core.endpoint.setEndpoint(association, { address: address === '::1' ? '::1' : '127.0.0.1', port }, systemClock.now())
    const probes: Promise<number | undefined>[] = []
    for (let probe = 0; probe < probesPerMove; probe++) {
      probes.push(core.netstack.ping(inner[probe % inner.length]!, { timeoutMs: 1_000 }))
      await wait(probeEveryMs)
    }
    const answers = await Promise.all(probes)
    lost.push(answers.filter((answer) => answer === undefined).length)
    if (answers[0] !== undefined) roundTrips.push(answers[0])
  }
  const total = lost.reduce((sum, count) => sum + count, 0)
  roundTrips.sort((a, b) => a - b)
  const at = (share: number): string => roundTrips[Math.floor((roundTrips.length - 1) * share)]!.toFixed(1)
  t.diagnostic(
    `${total} of ${moves * probesPerMove} probes lost; the first one after a move took ${at(0.5)} ms (p50), ${at(1)} ms at most`,
  )
  assert.ok(Math.max(...lost) <= 2, 'at most two probes of a move are lost')
  assert.equal(roundTrips.length, moves, 'the first packet brings the path back')
  assert.equal(association.counters.handshakes, handshakes, 'no move costs a handshake')
})
