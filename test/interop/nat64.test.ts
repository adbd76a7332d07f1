/** Networks of IPv6 alone, whose NAT64 (Debian's tayga) leads to a broker that is known by IPv4 literals. Needs root. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Diagnosis } from '#agent/doctor/finding.ts'
import { type Device, Fleet, type Operator } from '#test/lab/fleet.ts'
import { Nat64Network } from '#test/lab/nat64-network.ts'
import { run } from '#test/lab/program.ts'
import { seen } from '#test/lab/seen.ts'
import { Sshd } from '#test/lab/sshd.ts'

/** The broker's 198.51.100.2 as the NAT64 writes it. */
const through = '[2001:db8:64::c633:6402]:4500'
const natural = '198.51.100.2:4500'

interface Scene {
  readonly network: Nat64Network
  readonly device: Device
  readonly ann: Operator
  ssh(command: string): Promise<string>
}

/** A device that has enrolled by a claim with IPv4 literals alone, and whoever may reach it by ssh. */
async function scene(t: TestContext, prepare: (network: Nat64Network) => void = () => {}): Promise<Scene> {
  const network = await Nat64Network.open(t)
  prepare(network)
  const { dev, srv, server } = network
  const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443` })
  const sshd = await Sshd.start(t, { prefix: dev.prefix, port: 22 })
  const device = await fleet.device('pi', { prefix: dev.prefix, services: [`ssh=${sshd.where}`], mqtt: '127.0.0.1:1883' })
  const ann = await fleet.operator('ann')
  await fleet.grant('ann', 'pi', 22)
  const ssh = (command: string): Promise<string> =>
    ann.must(['ssh', ...sshd.flags, '-l', sshd.user, 'pi', '--', command], { timeoutMs: 180_000 })
  return { network, device, ann, ssh }
}

interface Status {
  readonly tunnel: {
    readonly endpoint: string
    readonly nat64: string | null
    readonly state: string
    readonly mtu: number
    readonly suite: string
    readonly carrier: string
  }
}

/** Waits until the tunnel carries data to that endpoint; how long that took, ms. */
async function ridesTo(device: Device, endpoint: string): Promise<number> {
  const from = performance.now()
  await seen(
    () => device.status<Status>(),
    ({ tunnel }) => tunnel.state === 'up' && tunnel.endpoint === endpoint,
    { timeoutMs: 60_000, everyMs: 250, otherwise: ({ tunnel }) => `not at ${endpoint}: ${JSON.stringify(tunnel)}` },
  )
  return Math.round(performance.now() - from)
}

async function doctor({ device, network }: Scene): Promise<Diagnosis> {
  const { stdout } = await run('adit-agent', ['doctor', '--state', device.state, '--json'], {
    prefix: network.dev.prefix,
    timeoutMs: 60_000,
  })
  return JSON.parse(stdout) as Diagnosis
}

test('a claim of IPv4 literals in a network without IPv4: enrolled, up, ssh and readings through its NAT64; doctor and why say so', async (t) => {
  const whole = await scene(t)
  const { network, device, ann, ssh } = whole
  const { tunnel } = await device.status<Status>()
  assert.deepEqual([tunnel.endpoint, tunnel.nat64], [through, network.prefix])
  // 1280 inside, 32 of the suite, 8 of UDP and the 40 of IPv6: what IPv4 would take is 20 less.
  assert.equal(tunnel.mtu, 1360)
  assert.equal(await ssh('echo here'), 'here\n')
  const large = 300_000
  assert.equal((await ssh(`head -c ${large} /dev/zero | tr '\\0' x`)).length, large)

  // The NAT64 leads to any IPv4 address: to the operator's too, without the broker.
  await seen(
    async () => JSON.parse(await ann.must(['status', '--json'])) as { tunnel: { devices?: { path: { kind: string } }[] } },
    ({ tunnel }) => tunnel.devices?.some(({ path }) => path.kind !== 'relay') ?? false,
    { timeoutMs: 30_000, everyMs: 250, otherwise: ({ tunnel }) => `no direct way: ${JSON.stringify(tunnel.devices)}` },
  )
  assert.equal((await ssh(`head -c ${large} /dev/zero | tr '\\0' x`)).length, large)

  network.dev.run('mosquitto_pub', '-t', 'sensors/pressure', '-m', '4.2', '-q', '1')
  await seen(
    () => ann.must(['telemetry', 'pi', '--json']),
    (said) => said.includes('"pressure"') && said.includes('4.2'),
    { timeoutMs: 30_000, otherwise: (said) => `no reading came: ${said}` },
  )

  const { verdict, findings } = await doctor(whole)
  assert.equal(verdict, 'ok', JSON.stringify(findings, null, 1))
  assert.match(findings.find(({ code }) => code === 'nat64')?.text ?? '', /2001:db8:64::\/96/)
  // The device tells of it by itself, half a minute after its start.
  await seen(
    async () => (await ann.run(['why', 'pi'])).stdout,
    (said) => said.includes('NAT64 (2001:db8:64::/96)'),
    { timeoutMs: 90_000, everyMs: 2_000, otherwise: (said) => said },
  )
})

test('from IPv4 to a NAT64 and back: the tunnel follows, and what runs in it goes on', async (t) => {
  const whole = await scene(t, (network) => {
    network.giveIpv4()
    network.takeIpv6()
  })
  const { network, device, ssh } = whole
  assert.deepEqual((await device.status<Status>()).tunnel.endpoint, natural)
  const folder = mkdtempSync(join(tmpdir(), 'adit-nat64-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const enough = join(folder, 'enough')
  const begun = join(folder, 'begun')
  const running = ssh(`touch ${begun}; i=0; until [ -e ${enough} ]; do i=$((i + 1)); echo $i; sleep 0.1; done`)
  await seen(
    () => existsSync(begun),
    (is) => is,
    { timeoutMs: 60_000, otherwise: () => 'the command has not begun' },
  )
  network.giveIpv6()
  network.takeIpv4()
  const there = await ridesTo(device, through)
  network.giveIpv4()
  network.takeIpv6()
  const back = await ridesTo(device, natural)
  t.diagnostic(`a NAT64 was found after ${there} ms, and IPv4 again after ${back} ms`)
  assert.ok(there <= 15_000 && back <= 15_000)
  writeFileSync(enough, '')
  const lines = (await running).trim().split('\n')
  assert.ok(lines.length > 5)
  assert.deepEqual(
    lines,
    lines.map((_, i) => String(i + 1)),
    'not a byte of it is lost',
  )
})

test('esp, a TUN, and a WebSocket where UDP is blocked: each goes through the NAT64', async (t) => {
  const { network, device, ssh } = await scene(t)
  const restarted = async (...words: string[]): Promise<Status['tunnel']> => {
    await device.stop()
    await device.launch(words).event(({ event }) => event === 'up', 60_000)
    return (await device.status<Status>()).tunnel
  }
  const esp = await restarted('--suite', 'esp')
  assert.deepEqual([esp.suite, esp.endpoint, esp.nat64], ['esp', through, network.prefix])
  assert.equal((await ssh("head -c 300000 /dev/zero | tr '\\0' x")).length, 300_000)

  const tun = await restarted('--tun')
  assert.deepEqual([tun.suite, tun.endpoint, tun.nat64], ['noise', through, network.prefix])
  assert.match(network.dev.ip('-br link'), /^adit/m, 'the kernel has it')
  assert.equal((await ssh("head -c 300000 /dev/zero | tr '\\0' x")).length, 300_000)

  network.gate.nft('table inet gate { chain f { type filter hook forward priority 0; meta l4proto udp drop; }; }')
  const stream = await restarted()
  assert.equal(stream.carrier, 'websocket')
  assert.equal((await ssh("head -c 300000 /dev/zero | tr '\\0' x")).length, 300_000)
  network.gate.nft('delete table inet gate')
  t.diagnostic(`on UDP again after ${await ridesTo(device, through)} ms`)
})

test('a cold start with a dead name server takes the NAT64 that served before; a dead NAT64 is named', async (t) => {
  const whole = await scene(t)
  const { network, device } = whole
  await device.stop()
  await network.dns.behave('silent')
  await device.start()
  assert.equal((await device.status<Status>()).tunnel.endpoint, through)
  await device.stop()
  await network.dns.behave('nxdomain')
  await device.start()
  await device.stop()

  await network.knowNat64()
  network.breakTranslator()
  const silent = await doctor(whole)
  assert.equal(silent.verdict, 'nat64-silent', JSON.stringify(silent, null, 1))
  t.diagnostic(silent.findings[0]!.text)
})
