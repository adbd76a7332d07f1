/**
 * One broker for devices behind networks of every kind, all of them real programs over the kernel's sockets: the tunnel comes up, SSH
 * answers, a copy arrives whole, and what the agent says of its path is true, while the network does its worst. The wires are the lab's own
 * (test/lab/wire.ts), since the kernel here has no netem.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { DeviceStatus } from '#agent/device/status.ts'
import { milliseconds } from '#shared/time/instant.ts'
import type { LinkQuality } from '#sim/link.ts'
import { type NatBehaviour, natKinds } from '#sim/nat-box.ts'
import { Fleet, type Operator } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { seen } from '#test/lab/seen.ts'
import { Sshd } from '#test/lab/sshd.ts'
import { LabWire } from '#test/lab/wire.ts'

const server4 = '198.51.100.2'
const server6 = 'fd99::1'
const config = `listen = ":4500"
api = ":8443"
public-endpoints = ["${server4}:4500", "[${server6}]:4500"]
public-api = ["https://${server4}:8443", "https://[${server6}]:8443"]
`
/** What a path that works costs in sessions: the first, one that a start under the worst of weathers asks for again, a rekey. */
const HANDSHAKES = 3

const closers: (() => unknown)[] = []
const scope = { after: (close: () => unknown) => void closers.unshift(close) }

describe('any network', () => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-any-'))
  let internet: Internet
  let srv: Host
  let fleet: Fleet
  let ann: Operator

  before(async () => {
    internet = Internet.open(scope)
    srv = internet.host('srv')
    srv.addAddress(`${server4}/32`, 'lo')
    srv.addAddress(`${server6}/128`, 'lo')
    fleet = await Fleet.start(scope, { prefix: srv.prefix, listen: ':4500', api: ':8443', config })
    ann = await fleet.operator('ann')
  })
  after(async () => {
    for (const close of closers) await close()
    rmSync(folder, { recursive: true, force: true })
  })

  interface Place {
    readonly wire: LabWire
    /** Where the copy arrives. */
    readonly target: string
    ssh(...command: string[]): Promise<string>
    /** Copies so many bytes from the device by the broker, and compares them. `kilobits`: no faster than that a second. */
    copy(bytes: number, kilobits?: number): Promise<void>
    /** The path is up, as `adit-agent status` says, and few handshakes have made it so. */
    isUp(): Promise<void>
  }

  interface Wishes {
    number: number
    families?: readonly (4 | 6)[]
    nat?: NatBehaviour
    /** Another NAT, of the kernel, before the wire. */
    double?: boolean
    /** Sets in between enrolment and the start that counts. */
    weather?: Partial<LinkQuality>
  }

  /** A device that has come up behind a network as wished. */
  async function place(t: TestContext, name: string, wishes: Wishes): Promise<Place> {
    const { number, families = [4, 6], nat, double = false, weather } = wishes
    const dev = internet.host(`d${number}`)
    const edge = double ? internet.host(`e${number}`) : dev
    if (double) homeNat(internet, dev, edge)
    const addresses = families.map((family) => (family === 4 ? `10.50.${number}.2` : `fd50:${number}::2`))
    const wire = new LabWire(t, {
      inside: { host: edge, addresses },
      outside: { host: srv, addresses: [] },
      seed: number,
      ...(nat && { nat: { behaviour: nat, outsideAddress: `203.0.113.${number}` } }),
    })
    const sshd = await Sshd.start(t, { prefix: dev.prefix, port: 22 })
    await fleet.grant('ann', name, 22)
    const device = await fleet.device(name, { prefix: dev.prefix, services: [`ssh=${sshd.where}`] })
    t.after(() => device.stop())
    if (weather) {
      await device.stop()
      wire.quality = weather
      const from = performance.now()
      await device.start(60_000)
      t.diagnostic(`up after ${Math.round(performance.now() - from)} ms`)
    }
    // Weather is for the tunnel to the broker, but a direct path that loses what is large must not be taken.
    const path = weather && weather.mtu === undefined ? 'relay' : 'auto'
    const source = join(folder, `${name}.from`)
    const target = join(folder, `${name}.to`)
    return {
      wire,
      target,
      async ssh(...command) {
        const from = performance.now()
        const said = await ann.must(['--path', path, 'ssh', ...sshd.flags, '-l', sshd.user, name, '--', ...command], {
          timeoutMs: 80_000,
        })
        t.diagnostic(`ssh took ${Math.round(performance.now() - from)} ms`)
        return said
      },
      async copy(bytes, kilobits) {
        const content = Buffer.alloc(bytes)
        for (let at = 0; at + 4 <= bytes; at += 4) content.writeUInt32LE((at * 2_654_435_761 + number) >>> 0, at)
        writeFileSync(source, content)
        const limit = kilobits ? ['-l', String(kilobits)] : []
        const words = ['--path', 'relay', 'cp', ...sshd.flags, ...limit, `${sshd.user}@${name}:${source}`, target]
        const from = performance.now()
        await ann.must(words, { timeoutMs: 100_000 })
        t.diagnostic(`the copy took ${Math.round(performance.now() - from)} ms`)
        assert.equal(digest(target), digest(source))
      },
      async isUp() {
        const { tunnel } = await device.status<DeviceStatus>()
        t.diagnostic(`${tunnel.health?.state}: ${tunnel.health?.evidence}; MTU ${tunnel.mtu}, ${tunnel.handshakes} handshakes`)
        assert.equal(tunnel.state, 'up')
        assert.equal(tunnel.carrier, 'udp')
        assert.equal(tunnel.health?.state, 'up', tunnel.health?.evidence)
        assert.ok(tunnel.handshakes <= HANDSHAKES, `${tunnel.handshakes} handshakes`)
        assert.equal(wire.fragments, 0, 'no outer packet was a fragment')
      },
    }
  }

  const weathers: readonly [name: string, weather: Partial<LinkQuality>, bytes: number][] = [
    ['2 s round trip', { delay: milliseconds(1_000) }, 60_000],
    ['64 kbit/s', { rate: { bitsPerSecond: 64_000, queueBytes: 16_000 } }, 60_000],
    ['30 % loss', { loss: 0.16 }, 100_000],
    ['a silent MTU of 1280', { mtu: 1_280 }, 1_000_000],
    ['a silent MTU of 1000', { mtu: 1_000 }, 1_000_000],
    [
      'reordering, doubling and 50 ms of jitter',
      {
        delay: milliseconds(20),
        jitter: milliseconds(50),
        reorder: { probability: 0.2, by: milliseconds(50) },
        duplication: 0.1,
      },
      1_000_000,
    ],
  ]
  for (const [at, [name, weather, bytes]] of weathers.entries())
    test(`${name}: the tunnel comes up, SSH answers, a copy of ${bytes} bytes arrives whole (F-14, F-15, F-16)`, async (t) => {
      const { ssh, copy, isUp } = await place(t, `pi-${at}`, { number: at + 10, weather })
      assert.equal(await ssh('echo', 'here'), 'here\n')
      await copy(bytes)
      await isUp()
    })

  for (const family of [4, 6] as const)
    test(`IPv${family} alone: enrols, SSH answers, a copy arrives whole`, async (t) => {
      const { ssh, copy, isUp } = await place(t, `pi-v${family}`, { number: 30 + family, families: [family] })
      assert.equal(await ssh('echo', 'here'), 'here\n')
      await copy(1_000_000)
      await isUp()
    })

  test('double NAT, the outer one mapping by the remote: SSH answers, a copy arrives whole (F-12)', async (t) => {
    const wishes = { number: 40, families: [4] as const, nat: natKinds.symmetric, double: true }
    const { ssh, copy, isUp } = await place(t, 'pi-double', wishes)
    assert.equal(await ssh('echo', 'here'), 'here\n')
    await copy(1_000_000)
    await isUp()
  })

  test('a NAT forgets its mappings three times in a running copy, each time with a new port: no byte is lost (F-10)', async (t) => {
    const bytes = 4_000_000
    const { wire, copy, target, isUp } = await place(t, 'pi-nat', { number: 41, families: [4], nat: natKinds.symmetric })
    const arrived = () => statSync(target, { throwIfNoEntry: false })?.size ?? 0
    const copying = copy(bytes, 8_000)
    copying.catch(() => {})
    for (const part of [0.2, 0.4, 0.6]) {
      const otherwise = (size: number) => `only ${size} bytes came`
      await seen(arrived, (size) => size >= part * bytes, { timeoutMs: 60_000, everyMs: 50, otherwise })
      wire.nat?.forget()
    }
    assert.ok(arrived() < bytes, 'the copy still ran')
    await copying
    await isUp()
  })
})

/** A home's own NAT, of the kernel, between the device and the end of the wire. */
function homeNat(internet: Internet, dev: Host, edge: Host): void {
  internet.link({ host: dev, addresses: ['192.168.7.2/24'] }, { host: edge, addresses: ['192.168.7.1/24'] })
  dev.ip('route add default via 192.168.7.1')
  edge.sysctl('net.ipv4.ip_forward=1')
  edge.nft(`table ip nat {
    chain post {
      type nat hook postrouting priority srcnat;
      ip saddr 192.168.7.0/24 masquerade
    }
  }`)
}

const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
