/**
 * One broker for devices behind networks of every kind, all of them real programs over the kernel's sockets: SSH and a copy of some
 * megabytes while the network does its worst. The wires are the lab's own (test/lab/wire.ts), since the kernel here has no netem.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { milliseconds } from '#shared/time/instant.ts'
import type { LinkQuality } from '#sim/link.ts'
import { type NatBehaviour, natKinds } from '#sim/nat-box.ts'
import { Fleet, type Operator } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { Sshd } from '#test/lab/sshd.ts'
import { LabWire } from '#test/lab/wire.ts'

const server4 = '198.51.100.2'
const server6 = 'fd99::1'
const config = `listen = ":4500"
api = ":8443"
public-endpoints = ["${server4}:4500", "[${server6}]:4500"]
public-api = ["https://${server4}:8443", "https://[${server6}]:8443"]
`
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
    fleet = await Fleet.start(scope as never, { prefix: srv.prefix, listen: ':4500', api: ':8443', config })
    ann = await fleet.operator('ann')
  })
  after(async () => {
    for (const close of closers) await close()
    rmSync(folder, { recursive: true, force: true })
  })

  interface Place {
    wire: LabWire
    ssh(...command: string[]): Promise<string>
    /** Copies so many bytes from the device, and compares them. `kilobits`: no faster than that a second. */
    copy(bytes: number, kilobits?: number): Promise<void>
  }

  interface Wishes {
    number: number
    families?: readonly (4 | 6)[]
    nat?: NatBehaviour
    /** Another NAT, of the kernel, before the wire. */
    double?: boolean
  }

  async function place(name: string, { number, families = [4, 6], nat, double = false }: Wishes): Promise<Place> {
    const dev = internet.host(`d${number}`)
    const edge = double ? internet.host(`e${number}`) : dev
    if (double) homeNat(internet, dev, edge)
    const addresses = families.map((family) => (family === 4 ? `10.50.${number}.2` : `fd50:${number}::2`))
    const wire = new LabWire(scope, {
      inside: { host: edge, addresses },
      outside: { host: srv, addresses: [] },
      seed: number,
      ...(nat && { nat: { behaviour: nat, outsideAddress: `203.0.113.${number}` } }),
    })
    const sshd = await Sshd.start(scope as never, { prefix: dev.prefix, port: 22 })
    await fleet.grant('ann', name, 22)
    await fleet.device(name, { prefix: dev.prefix, services: [`ssh=${sshd.where}`] })
    const file = join(folder, `${name}.from`)
    return {
      wire,
      ssh: (...command) => ann.must(['ssh', ...sshd.flags, '-l', sshd.user, name, '--', ...command], { timeoutMs: 60_000 }),
      async copy(bytes, kilobits) {
        const content = Buffer.alloc(bytes)
        for (let at = 0; at + 4 <= bytes; at += 4) content.writeUInt32LE((at * 2_654_435_761 + number) >>> 0, at)
        writeFileSync(file, content)
        const limit = kilobits ? ['-l', String(kilobits)] : []
        const target = join(folder, `${name}.to`)
        await ann.must(['cp', ...sshd.flags, ...limit, `${sshd.user}@${name}:${file}`, target], { timeoutMs: 150_000 })
        assert.equal(digest(target), digest(file))
      },
    }
  }

  const weathers: readonly [name: string, quality: Partial<LinkQuality>, bytes: number][] = [
    ['2 s round trip', { delay: milliseconds(1_000) }, 100_000],
    ['64 kbit/s', { rate: { bitsPerSecond: 64_000, queueBytes: 16_000 } }, 60_000],
    ['30 % loss', { loss: 0.16 }, 100_000],
    ['a silent MTU of 1280', { mtu: 1_280 }, 1_000_000],
    ['a silent MTU of 1000', { mtu: 1_000 }, 1_000_000],
    ['reordering, doubling and jitter', { duplication: 0.1, jitter: milliseconds(15), delay: milliseconds(20) }, 1_000_000],
  ]
  for (const [at, [name, quality, bytes]] of weathers.entries())
    test(`${name}: SSH answers and a copy of ${bytes} bytes arrives whole (F-14, F-15, F-16)`, async (t) => {
      const { wire, ssh, copy } = await place(`pi-${at}`, { number: at + 10 })
      wire.quality = quality
      const from = performance.now()
      assert.equal(await ssh('echo', 'here'), 'here\n')
      t.diagnostic(`ssh took ${Math.round(performance.now() - from)} ms`)
      await copy(bytes)
      assert.equal(wire.fragments, 0, 'no outer packet was a fragment')
    })

  for (const family of [4, 6] as const)
    test(`IPv${family} alone: enrols, SSH answers, a copy arrives whole`, async () => {
      const { ssh, copy } = await place(`pi-v${family}`, { number: 30 + family, families: [family] })
      assert.equal(await ssh('echo', 'here'), 'here\n')
      await copy(1_000_000)
    })

  test('double NAT, the outer one mapping by the remote: SSH answers, a copy arrives whole (F-12)', async () => {
    const { ssh, copy } = await place('pi-double', { number: 40, families: [4], nat: natKinds.symmetric, double: true })
    assert.equal(await ssh('echo', 'here'), 'here\n')
    await copy(1_000_000)
  })

  test('a NAT forgets its mappings three times in a running copy, each time with a new port: no byte is lost (F-10)', async () => {
    const { wire, copy } = await place('pi-nat', { number: 41, families: [4], nat: natKinds.symmetric })
    const copying = copy(6_000_000, 8_000)
    for (let i = 0; i < 3; i++) {
      await wait(1_500)
      wire.nat?.forget()
    }
    await copying
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
