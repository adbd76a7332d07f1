/** D15: faults of real networks, and the first line of `adit-agent doctor` that names each. Needs root. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Diagnosis } from '#agent/doctor/finding.ts'
import { type Device, Fleet, type FleetOptions } from '#test/lab/fleet.ts'
import { NameServer } from '#test/lab/name-server.ts'
import { NatNetwork } from '#test/lab/nat-network.ts'
import { Program, run } from '#test/lab/program.ts'
import { clockAt } from '#test/lab/shifted-clock.ts'

const name = 'broker.test'
const hours = 3_600_000

interface Scene {
  readonly device: Device
  readonly fleet: Fleet
  readonly network: NatNetwork
  readonly dns: NameServer
  /** How a fleet in the same place is started. */
  readonly place: FleetOptions
  readonly listener: Program
  listen(): Promise<Program>
  /** A rule of nftables in the open internet; empty: none. */
  rule(text: string): void
  /** The first line of the doctor is of that code. */
  first(what: string, code: string, env?: Record<string, string>): Promise<void>
}

/** A device behind a NAT, whose broker has a name, a WebSocket on 443, and a service to lead to. */
async function scene(t: TestContext): Promise<Scene> {
  const network = new NatNetwork(t, { kind: 'easy' })
  const { dev, core, srv, server } = network
  const dns = await NameServer.start(t, srv, server, [dev])
  await dns.behave(`truth ${server}`)
  const config = [
    `public-api = ["https://${name}:8443"]`,
    `public-endpoints = ["${name}:4500"]`,
    `public-addresses = ["${server}"]`,
    '[websocket]',
    `listen = "${server}:443"`,
    `public = ["wss://${name}/v1/tunnel"]`,
    '',
  ].join('\n')
  const place = { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443`, config }
  const fleet = await Fleet.start(t, place)
  const service = 'ssh=127.0.0.1:2222'
  const listen = async (): Promise<Program> => {
    const program = Program.command(dev.prefix[0]!, [...dev.prefix.slice(1), process.execPath, '-e', listen2222])
    t.after(() => program.stop())
    await program.event(({ event }) => event === 'ready')
    return program
  }
  const listener = await listen()
  const device = await fleet.device('pi', { prefix: dev.prefix, services: [service] })

  async function first(what: string, code: string, env: Record<string, string> = {}): Promise<void> {
    const words = ['doctor', '--state', device.state, '--service', service, '--json']
    const { status, stdout, stderr } = await run('adit-agent', words, { prefix: dev.prefix, timeoutMs: 60_000, env })
    assert.equal(stderr, '')
    const diagnosis = JSON.parse(stdout) as Diagnosis
    const [line] = diagnosis.findings
    assert.equal(diagnosis.verdict, code, `${what}: ${JSON.stringify(diagnosis.findings, null, 1)}`)
    if (code !== 'ok') assert.ok(line!.mend.length > 10, 'each has a mend')
    assert.equal(status, diagnosis.findings.some(({ state }) => state === 'broken') ? 1 : 0)
    t.diagnostic(`${what}: ${line!.text}`)
  }
  const rule = (text: string): void =>
    core.nft(`table ip fault
      delete table ip fault
      table ip fault {
        chain passing {
          type filter hook forward priority 0;
          ${text}
        }
      }`)
  return { device, fleet, network, dns, place, listener, listen, rule, first }
}

test('D15 F-08 F-09 F-13 UDP blocked, only 443, a black hole, DNS dead or denying, a portal: named in the first line', async (t) => {
  const { dns, network, rule, first } = await scene(t)
  const { core, server } = network
  await first('nothing', 'ok')
  rule('udp dport 53 accept; udp sport 53 accept; meta l4proto udp drop')
  await first('UDP blocked', 'udp-blocked')
  rule('udp dport 53 accept; udp sport 53 accept; tcp dport 443 accept; tcp sport 443 accept; drop')
  await first('only 443', 'only-443')
  rule('meta length > 1200 drop')
  await first('MTU black hole', 'mtu-black-hole')
  rule('')
  await dns.behave('silent')
  await first('DNS dead', 'dns-dead')
  await dns.behave('nxdomain')
  await first('DNS denies', 'dns-not-found')
  await dns.behave(`truth ${server}`)
  rule('udp dport 53 accept; udp sport 53 accept; drop')
  core.nft(`table ip portal {
    chain pre {
      type nat hook prerouting priority -100;
      tcp dport { 80, 443, 8443 } redirect to :8080
    }
  }`)
  const portal = Program.command(core.prefix[0]!, [...core.prefix.slice(1), process.execPath, '-e', portal8080])
  t.after(() => portal.stop())
  await portal.event(({ event }) => event === 'ready')
  await first('portal', 'portal')
})

test('D15 F-05 the clock, no service, no broker, another fleet’s broker, no agent, no enrolment: named in the first line', async (t) => {
  const { device, fleet, network, place, listener, listen, first } = await scene(t)
  await first('clock', 'clock-wrong', clockAt(Date.now() - 36 * hours))
  await listener.stop()
  await first('no sshd', 'service-down')
  await listen()
  await fleet.broker.stop()
  await first('no broker', 'broker-stopped')
  const other = await Fleet.start(t, { ...place, data: join(fleet.folder, 'other') })
  await first('another fleet', 'wrong-ca')
  await other.broker.stop()
  await fleet.startBroker()

  // Before enrolment, and without an agent.
  const stranger = await run('adit-agent', ['doctor', '--broker', name, '--json', '--state', join(fleet.folder, 'none')], {
    prefix: network.dev.prefix,
    timeoutMs: 60_000,
  })
  const { findings } = JSON.parse(stranger.stdout) as Diagnosis
  assert.ok(
    findings.every(({ state }) => state !== 'broken'),
    stranger.stdout,
  )
  assert.ok(
    findings.some(({ code }) => code === 'udp'),
    stranger.stdout,
  )
  await device.stop()
  await first('no agent', 'agent-not-running')
})

const listen2222 = `require('node:net').createServer((s) => s.end()).listen(2222, '127.0.0.1', () => console.log('{"event":"ready"}'))`

const portal8080 = `require('node:net').createServer((s) => s.on('error', () => {}).once('data', () =>
  s.end('HTTP/1.1 302 Found\\r\\nLocation: http://203.0.113.1/login\\r\\n\\r\\n'))).listen(8080, () => console.log('{"event":"ready"}'))`
