import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Operator } from '#test/lab/fleet.ts'
import { runCommand } from '#test/lab/program.ts'
import { seen } from '#test/lab/seen.ts'
import { freePort, Sshd } from '#test/lab/sshd.ts'
import { VerifiedStream } from '#test/lab/verified-stream.ts'
import { carries, echoed, inside, interfaceUp, reach, TunBed, type TunDevice, type TunDeviceStatus, tun } from './tun-bed.ts'

/** Bytes each way. */
const STREAM = 50_000_000
/** Whom this host may reach at its agents, and whom they may here: the stream's port alone. */
const config = '[tunnel]\nhost-to-agents = [5202, 5203]\nagents-to-host = [5202]\n'

/** Our programs with a TUN at both ends, as a person runs them, and the kernels of three machines as judges. */
for (const [suite, lanes] of [
  ['noise', 1],
  ['esp', 2],
] as const)
  describe(`TUN to TUN, ${suite}, by ${lanes} of the broker's threads`, () => {
    const endings: (() => unknown)[] = []
    const scope = { after: (ending: () => unknown) => void endings.push(ending) }
    let bed: TunBed
    let pump: TunDevice
    let well: TunDevice
    let broker: { v6: string; v4: string }
    let mqtt: string
    let sshd: Sshd
    let ann: Operator

    before(async () => {
      bed = await TunBed.open(scope, { config: `${config}lanes = ${lanes}\n` })
      mqtt = `127.0.0.1:${await freePort()}`
      sshd = await Sshd.start(scope, { prefix: bed.pump.prefix })
      ;[pump, well] = await Promise.all([
        bed.device(bed.pump, 'pump', { suite, mqtt, services: [`ssh=${sshd.where}`] }),
        bed.device(bed.well, 'well', { suite }),
      ])
      broker = await bed.inner()
      ann = await bed.fleet.operatorIn(suite, 'ann')
      await bed.fleet.grant('ann', 'pump', 22)
      await Promise.all([interfaceUp(bed.pump, pump), interfaceUp(bed.well, well), interfaceUp(bed.hub, broker)])
    })

    after(async () => {
      for (const ending of endings.reverse()) await ending()
    })

    test('both kernels have addresses and routes of the fleet, and the main road is as it was', () => {
      for (const [host, gateway] of [
        [bed.pump, '192.168.11.1'],
        [bed.hub, '203.0.113.1'],
      ] as const) {
        assert.match(host.ip('route get 100.64.77.7'), /dev adit0 src 100\.64\.0\.\d/)
        assert.match(host.ip('route get 198.51.100.7'), new RegExp(`via ${gateway}`))
        assert.match(host.ip(`-6 route get ${broker.v6.replace(/::1$/, '::77')}`), /dev adit0/)
        assert.doesNotMatch(host.ip('address show dev adit0'), /fe80/)
      }
    })

    test("each of the broker's threads has a queue of its interface", () => {
      const said = bed.hub.ip(`-details link show dev ${tun}`)
      if (lanes === 1) assert.doesNotMatch(said, /numqueues [2-9]/)
      else assert.match(said, new RegExp(`multi_queue.*numqueues ${lanes}\\b`))
    })

    test('status names engine and interface, in words too', async () => {
      const { tunnel } = await pump.device.status<TunDeviceStatus>()
      assert.deepEqual(tunnel.interface, { name: tun, problem: null })
      assert.equal(tunnel.engine, 'linux')
      const { stdout } = await runCommand('node_modules/.bin/adit-agent', ['status', '--state', pump.device.state])
      assert.match(stdout, /^interface {4}adit0, fast engine$/m)
    })

    test('echoes, in both families and both directions', async () => {
      const answers = await Promise.all([
        ...[broker.v6, broker.v4].map((address) => bed.pump.pings(address, 5)),
        ...[pump.v6, pump.v4].map((address) => bed.hub.pings(address, 5)),
      ])
      assert.deepEqual(answers, [5, 5, 5, 5])
    })

    for (const family of ['v6', 'v4'] as const)
      test(`50 MB each way at once between kernels, every byte judged (IP${family})`, { timeout: 120_000 }, async (t) => {
        const from = performance.now()
        const stream = await VerifiedStream.start(t, { a: bed.pump, b: bed.hub }, broker[family])
        await carries(stream, STREAM)
        const seconds = (performance.now() - from) / 1_000
        t.diagnostic(`${suite} IP${family}: ${(((STREAM / 125_000 / seconds) * 2) | 0).toString()} Mbit/s, both ways together`)
      })

    test('UDP: what is named passes, of every size up to what must be cut; what is not, does not', async () => {
      const lengths = [0, 1, 1_000, 1_252, 1_372, 3_000]
      for (const address of [pump.v4, pump.v6])
        assert.deepEqual(await echoed(bed.hub, bed.pump, address, 5_203, lengths), lengths)
      assert.deepEqual(await echoed(bed.hub, bed.pump, pump.v6, 5_204, [1]), [])
    })

    test("readings arrive by the kernel's MQTT", async () => {
      const [host, port] = mqtt.split(':')
      await inside(bed.pump, 'mosquitto_pub', '-h', host!, '-p', port!, '-q', '1', '-t', 'sensors/flow', '-m', '4.2')
      await seen(
        () => ann.must(['telemetry', 'pump', '--name', 'flow', '--json']),
        (said) => said.includes('4.2'),
        { timeoutMs: 15_000, everyMs: 500, otherwise: (said) => `no reading but ${said}` },
      )
      assert.match(bed.hub.run('ss', '-Htn', 'state', 'established', 'sport', '=', ':1883'), /100\.64|fd/)
    })

    test('the API answers at the inner addresses', async () => {
      for (const address of [broker.v4, `[${broker.v6}]`]) {
        const said = await inside(bed.pump, 'curl', '-sSk', `https://${address}:8443/healthz`)
        assert.match(said, /"status":"ok"/)
      }
    })

    test('a service of the agent is reached as ever, beside the kernel', async () => {
      const { status, stdout, stderr } = await ann.run([
        'ssh',
        ...sshd.flags,
        '-l',
        sshd.user,
        'pump',
        '--',
        'echo $SSH_CONNECTION',
      ])
      assert.equal(status, 0, stderr)
      assert.match(stdout, /^127\..* 127\.0\.0\.1 \d+$/m)
    })

    test('default deny: a port that is not named is refused at once; a device does not reach another one', async () => {
      for (const [host, address] of [
        [bed.pump, broker.v6],
        [bed.pump, broker.v4],
        [bed.hub, pump.v6],
        [bed.hub, pump.v4],
      ] as const) {
        const { met, afterMs } = await reach(host, address, 5_209)
        assert.equal(met, 'refused')
        assert.ok(afterMs < 1_000, `${afterMs} ms`)
      }
      const before = (await bed.drops())['filter-refused'] ?? 0
      assert.notEqual((await reach(bed.pump, well.v4, 5_202)).met, 'connected')
      assert.notEqual((await reach(bed.pump, well.v6, 22)).met, 'connected')
      assert.equal(await bed.pump.pings(well.v4), 0)
      assert.ok(((await bed.drops())['filter-refused'] ?? 0) >= before + 3, 'and that is counted')
    })

    test('P-30 a source that is not its own is refused by the broker, and counted', async () => {
      const before = (await bed.drops())['inner-source-refused'] ?? 0
      bed.pump.ip(`addr add 100.64.9.9/32 dev ${tun}`)
      const said = await runCommand(bed.pump.prefix[0]!, [
        ...bed.pump.prefix.slice(1),
        'ping',
        '-n',
        '-c',
        '3',
        '-i',
        '0.2',
        '-W',
        '1',
        '-I',
        '100.64.9.9',
        broker.v4,
      ])
      bed.pump.ip(`addr del 100.64.9.9/32 dev ${tun}`)
      assert.match(said.stdout, /3 packets transmitted, 0 received/)
      // Of the esp suite its own end says no already: what may be sent there was negotiated.
      const expected = suite === 'noise' ? 3 : 0
      await seen(
        () => bed.drops(),
        (drops) => (drops['inner-source-refused'] ?? 0) - before === expected && drops['selector-refused'] === undefined,
        { timeoutMs: 3_000, otherwise: (drops) => JSON.stringify(drops) },
      )
    })
  })
