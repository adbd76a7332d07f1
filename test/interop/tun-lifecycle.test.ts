import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { Device } from '#test/lab/fleet.ts'
import { networkSnapshot } from '#test/lab/network-snapshot.ts'
import { seen } from '#test/lab/seen.ts'
import { VerifiedStream } from '#test/lab/verified-stream.ts'
import { carries, interfaceUp, reach, TunBed, type TunDeviceStatus, tun } from './tun-bed.ts'

const config = '[tunnel]\nhost-to-agents = []\nagents-to-host = [5202]\n'

describe('a TUN comes and goes with its program', () => {
  const endings: (() => unknown)[] = []
  const scope = { after: (ending: () => unknown) => void endings.push(ending) }
  let bed: TunBed
  let broker: { v6: string; v4: string }

  before(async () => {
    bed = await TunBed.open(scope, { config })
    broker = await bed.inner()
    await interfaceUp(bed.hub, broker)
  })

  after(async () => {
    for (const ending of endings.reverse()) await ending()
  })

  const statusOf = (device: Device) => device.status<TunDeviceStatus>()

  test('without koffi, and without permission: one line says so, the portable engine serves', async () => {
    const drop = ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin']
    for (const [name, lack, says] of [
      ['no-koffi', ['env', `NODE_OPTIONS=--import=${withoutKoffi}`], /The package koffi cannot be loaded: .* Install it/],
      ['no-permission', drop, /This user may not make a TUN interface\. Run as root/],
    ] as const) {
      const before = networkSnapshot(bed.well)
      const { device } = await bed.device(bed.well, name, { prefix: [...bed.well.prefix, ...lack] })
      const lines = device.program.stderr.split('\n').filter((line) => /"level":[45]0/.test(line))
      assert.equal(lines.length, 1, device.program.stderr)
      assert.match(lines[0]!, says)
      assert.match(lines[0]!, /Packets take the portable engine, without a TUN/)
      const { tunnel } = await statusOf(device)
      assert.deepEqual(
        { engine: tunnel.engine, interface: tunnel.interface, state: tunnel.state },
        { engine: 'portable', interface: null, state: 'up' },
      )
      await device.stop()
      assert.equal(networkSnapshot(bed.well), before)
    }
  })

  test('a name that is none is refused before anything is made; one that is taken costs the TUN alone', async () => {
    const before = networkSnapshot(bed.well)
    const { device } = await bed.device(bed.well, 'names')
    await device.stop()
    for (const name of ['a/b', 'sixteen-bytes-xx', '-x', '']) {
      const refused = device.launch(['--tun', name])
      await assert.rejects(refused.event(() => false))
      assert.match(refused.stderr, /no name of an interface|argument|option/, name)
    }
    const first = (await bed.device(bed.well, 'first')).device
    const second = device.launch()
    await second.event(({ event }) => event === 'up')
    assert.match(second.stderr, /adit0 is in use by another program/)
    assert.equal((await statusOf(device)).tunnel.interface, null)
    assert.deepEqual((await statusOf(first)).tunnel.interface, { name: tun, problem: null })
    await Promise.all([device.stop(), first.stop()])
    // An interface of another kind.
    bed.well.ip(`link add ${tun} type veth peer name ${tun}-peer`)
    const third = device.launch()
    await third.event(({ event }) => event === 'up')
    assert.match(third.stderr, /The TUN interface adit0 cannot be made/)
    await device.stop()
    bed.well.ip(`link del ${tun}`)
    assert.equal(networkSnapshot(bed.well), before)
  })

  test('a machine in a network that the fleet has too: said in log and status, IPv6 serves; it leaves that network, and all is well', async () => {
    const { there } = bed.wires.well
    bed.well.addAddress('100.64.0.77/24', there)
    const before = networkSnapshot(bed.well)
    const { device, v6, v4 } = await bed.device(bed.well, 'overlap')
    const problem = () => statusOf(device).then(({ tunnel }) => tunnel.interface?.problem)
    await seen(problem, (text) => /goes into the tunnel, but this machine has 100\.64\.0\.77/.test(text ?? ''), {
      timeoutMs: 10_000,
      otherwise: (last) => `problem: ${last}`,
    })
    assert.match(device.program.stderr, /network-overlap.*avoid-networks/)
    assert.equal(await bed.well.pings(broker.v6), 1)
    assert.doesNotMatch(bed.well.ip('address show'), new RegExp(v4))
    bed.well.ip(`addr del 100.64.0.77/24 dev ${there}`)
    await interfaceUp(bed.well, { v6, v4 })
    await seen(problem, (text) => text === null, { timeoutMs: 5_000, otherwise: (last) => `problem: ${last}` })
    assert.equal(await bed.well.pings(broker.v4), 1)
    await device.stop()
    assert.equal(networkSnapshot(bed.well), before.replaceAll(/.*100\.64\.0\.(77|0|255).*\n?/g, ''))
  })

  test('route = "all": the world goes into the tunnel or nowhere, the broker outside it; all is undone at the end', async (t) => {
    const before = networkSnapshot(bed.pump)
    const { device } = await bed.device(bed.pump, 'all')
    await device.stop()
    assert.equal(networkSnapshot(bed.pump), before)
    writeFileSync(join(device.state, 'config.toml'), '[network]\nroute = "all"\ntun = "adit0"\n', { mode: 0o600 })
    bed.core.addAddress('198.51.100.9/32', 'lo')
    assert.equal(await bed.pump.pings('198.51.100.9'), 1)
    await device.start()
    await seen(
      () => bed.pump.ip('route get 198.51.100.9'),
      (text) => text.includes('dev adit0'),
      { timeoutMs: 10_000, otherwise: (last) => last },
    )
    assert.equal(await bed.pump.pings('198.51.100.9'), 0)
    assert.match(bed.pump.ip('route get 203.0.113.2'), /via 192\.168\.11\.1/)
    assert.equal(await bed.pump.pings(broker.v4), 1)
    const stream = await VerifiedStream.start(t, { a: bed.pump, b: bed.hub }, broker.v4)
    await carries(stream, 2_000_000)

    // Its own datagrams find their way when the network changes below them.
    bed.pump.addAddress('192.168.11.78/24', bed.wires.pump.there)
    bed.pump.ip(`addr del 192.168.11.2/24 dev ${bed.wires.pump.there}`)
    bed.pump.ip('route replace default via 192.168.11.1')
    await carries(stream, 2_000_000)
    bed.pump.addAddress('192.168.11.2/24', bed.wires.pump.there)
    bed.pump.ip(`addr del 192.168.11.78/24 dev ${bed.wires.pump.there}`)
    bed.pump.ip('route replace default via 192.168.11.1')

    // Killed, it leaves the door shut; even a start without a TUN opens it.
    await device.stop('SIGKILL')
    assert.equal(await bed.pump.pings('198.51.100.9'), 0)
    writeFileSync(join(device.state, 'config.toml'), '', { mode: 0o600 })
    const plain = device.launch([])
    await plain.event(({ event }) => event === 'up')
    await device.stop()
    assert.equal(await bed.pump.pings('198.51.100.9'), 1)
    assert.equal(networkSnapshot(bed.pump), before)
    bed.core.ip('addr del 198.51.100.9/32 dev lo')
  })

  test('F-22 kill -9 at twenty random moments: the next start finds neither interface nor lock, and comes up', {
    timeout: 280_000,
  }, async (t) => {
    const before = networkSnapshot(bed.pump)
    const { device, v6, v4 } = await bed.device(bed.pump, 'killed')
    writeFileSync(join(device.state, 'config.toml'), '[network]\nroute = "all"\n', { mode: 0o600 })
    await device.stop('SIGKILL')
    const states: string[] = []
    const hasLink = (): boolean => bed.pump.ip('link').includes(`${tun}:`)
    for (let round = 0; round < 20; round++) {
      const program = device.launch()
      // While it starts, while it makes its network, and while it works.
      if (round % 3 === 0) await wait(randomInt(3_000))
      else if (round % 3 === 1) await seen(hasLink, Boolean, { timeoutMs: 10_000, everyMs: 10, otherwise: () => 'no interface' })
      else await program.event(({ event }) => event === 'up').then(() => wait(randomInt(600)))
      states.push(hasLink() ? (bed.pump.ip('rule').includes('14500') ? 'all' : 'tun') : '-')
      await device.stop('SIGKILL')
      assert.equal(hasLink(), false)
    }
    t.diagnostic(`killed with: ${states.join(' ')}`)
    await device.start()
    await interfaceUp(bed.pump, { v6, v4 })
    assert.equal(await bed.pump.pings(broker.v6, 3), 3)
    assert.equal((await reach(bed.pump, broker.v4, 5_209)).met, 'refused')
    await device.stop()
    assert.equal(networkSnapshot(bed.pump), before)
    assert.equal(existsSync(join(device.state, 'tun-network.json')), false)
  })

  test('SIGTERM takes everything away, at the broker too', async () => {
    await bed.fleet.broker.stop()
    assert.doesNotMatch(networkSnapshot(bed.hub), /adit0|100\.64/)
    await bed.fleet.startBroker()
    await interfaceUp(bed.hub, broker)
  })
})

/** A hook of Node's that finds every package but koffi, as a URL. */
const withoutKoffi = (() => {
  const hook =
    'export const resolve = (name, context, next) => { if (name === "koffi") throw new Error("Cannot find package koffi"); return next(name, context) }'
  const url = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`
  return url(`import { register } from 'node:module'; register(${JSON.stringify(url(hook))})`)
})()
