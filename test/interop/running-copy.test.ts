/**
 * What the network does while people work: an ssh session ticks and a copy of 50 MB runs, by the broker, across every change that the field
 * knows, one after the other. Neither ends, no byte is lost, and no silence is longer than what is promised of its cause.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { DeviceStatus } from '#agent/device/status.ts'
import { AgentSocketClient } from '#agent/io/agent-socket.ts'
import { stateFiles } from '#agent/io/state-folder.ts'
import { type Device, Fleet } from '#test/lab/fleet.ts'
import { NatNetwork } from '#test/lab/nat-network.ts'
import { seen } from '#test/lab/seen.ts'
import { SshTicks } from '#test/lab/ssh-ticks.ts'
import { Sshd } from '#test/lab/sshd.ts'

const bytes = 50_000_000
/** What the copy may take of the line, kbit/s: it shall still run when the last change comes. */
const rate = 24_000
const server4 = '198.51.100.2'
const server6 = 'fd99::1'
const config = `listen = ":4500"
api = ":8443"
public-endpoints = ["${server4}:4500", "[${server6}]:4500"]
public-api = ["https://${server4}:8443", "https://[${server6}]:8443"]
`

/** Beside its Wi-Fi behind a NAT the device has another radio, of IPv6 alone: without a default route until it is switched to. */
function twoRadios(t: TestContext): NatNetwork {
  const network = new NatNetwork(t, { kind: 'symmetric' })
  const { internet, dev, core, srv } = network
  internet.link({ host: dev, addresses: ['fd50::2/64'] }, { host: core, addresses: ['fd50::1/64'] })
  internet.link({ host: core, addresses: ['fd99::2/64'] }, { host: srv, addresses: [`${server6}/64`] })
  core.sysctl('net.ipv6.conf.all.forwarding=1')
  srv.ip('-6 route add default via fd99::2')
  return network
}

test('SSH and a copy of 50 MB run across every change: NAT state, public address, own address, radio and family, UDP blocked', async (t) => {
  const network = twoRadios(t)
  const { dev, core, srv } = network
  const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: ':4500', api: ':8443', config })
  const sshd = await Sshd.start(t, { prefix: dev.prefix, port: 22 })
  const ann = await fleet.operator('ann')
  await fleet.grant('ann', 'pi', 22)
  const device = await fleet.device('pi', { prefix: dev.prefix, services: [`ssh=${sshd.where}`] })

  const folder = mkdtempSync(join(tmpdir(), 'adit-running-copy-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const [source, target] = [join(folder, 'from'), join(folder, 'to')]
  writeFileSync(source, randomBytes(bytes))
  const arrived = (): number => statSync(target, { throwIfNoEntry: false })?.size ?? 0
  // By the broker: direct ways have a test of their own.
  const relay = ['--path', 'relay']
  const session = SshTicks.start(t, ann, (line) => [...relay, 'ssh', ...sshd.flags, '-l', sshd.user, 'pi', '--', line])
  await session.after(20)
  const words = [...relay, 'cp', ...sshd.flags, '-l', String(rate), `${sshd.user}@pi:${source}`, target]
  const copying = ann.run(words, { timeoutMs: 180_000 })

  const wifi = (): void => {
    dev.ip('route replace default via 192.168.7.1')
    dev.ip('-6 route del default')
  }
  const lte = (): void => {
    dev.ip('-6 route replace default via fd50::1')
    dev.ip('route del default')
  }
  const udp = (verdict: 'accept' | 'drop'): void =>
    core.nft(`table inet blocking
      delete table inet blocking
      table inet blocking { chain f { type filter hook forward priority 0; meta l4proto udp ${verdict}; }; }`)
  const changes: readonly [what: string, change: () => void, withinMs: number, carrier: string, endpoint: string][] = [
    ['the NAT forgets, and takes another port', () => network.forget(), 2_000, 'udp', server4],
    ['another public address', () => network.renumber(), 2_000, 'udp', server4],
    ['another address of its own', () => network.moveDevice(9), 2_000, 'udp', server4],
    ['from Wi-Fi with IPv4 to a radio with IPv6', lte, 3_000, 'udp', server6],
    ['and back', wifi, 3_000, 'udp', server4],
    ['UDP is blocked', () => udp('drop'), 10_000, 'websocket', server4],
    ['and passes again', () => udp('accept'), 3_000, 'udp', server4],
  ]
  for (const [what, change, withinMs, carrier, endpoint] of changes) {
    const before = arrived()
    change()
    const silence = await session.after(20)
    const took = await rides(device, carrier, endpoint)
    await seen(arrived, (size) => size > before, { timeoutMs: 20_000, otherwise: () => 'the copy stands still' })
    t.diagnostic(`${what}: ${silence} ms of silence; by ${carrier} at ${endpoint} after ${took} ms; ${arrived()} bytes are there`)
    assert.ok(silence <= withinMs, `${what}: ${silence} ms`)
  }
  assert.ok(arrived() < bytes, 'the copy ran across all of it')
  const { status, stderr } = await copying
  assert.equal(status, 0, stderr)
  assert.equal(digest(target), digest(source))
  assert.ok(session.isWhole, 'nor is a tick missing')
})

/** Waits until the tunnel goes that way; how long that took, ms. */
async function rides(device: Device, carrier: string, endpoint: string): Promise<number> {
  const from = performance.now()
  const socket = await AgentSocketClient.connect(join(device.state, stateFiles.socket))
  try {
    await seen(
      async () => ((await socket.request({ op: 'status' })) as DeviceStatus).tunnel,
      (tunnel) => tunnel.state === 'up' && tunnel.carrier === carrier && (tunnel.endpoint ?? '').includes(endpoint),
      { timeoutMs: 60_000, everyMs: 100, otherwise: (tunnel) => JSON.stringify(tunnel) },
    )
  } finally {
    socket.close()
  }
  return Math.round(performance.now() - from)
}

const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
