import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { Fleet, Operator } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { Sshd } from '#test/lab/sshd.ts'

/**
 * Linux's own NAT keeps a source's port and lets in whom it has sent to (RFC 4787: endpoint-independent mapping, address- and
 * port-dependent filtering); `full-cone` lets in anybody; `symmetric` has another random port for each destination.
 */
type NatKind = 'easy' | 'full-cone' | 'symmetric'

/**
 *   dev (192.168.7.2) -- natA (203.0.113.2) --\
 *                                              core -- srv (198.51.100.2)
 *   ops (192.168.8.2) -- natB (203.0.114.2) --/
 *
 * On one LAN the operator is 192.168.7.3, behind the device's own NAT.
 */
class DirectNetwork {
  readonly dev: Host
  readonly ops: Host
  readonly srv: Host
  readonly core: Host
  readonly server = '198.51.100.2'

  constructor(t: Pick<TestContext, 'after'>, { device, operator }: { device: NatKind; operator: NatKind | 'same-lan' }) {
    const internet = Internet.open(t)
    this.core = internet.host('core')
    this.srv = internet.host('srv')
    this.dev = internet.host('dev')
    this.ops = internet.host('ops')
    const { core, srv, dev, ops } = this
    core.sysctl('net.ipv4.ip_forward=1')
    internet.link({ host: core, addresses: ['198.51.100.1/24'] }, { host: srv, addresses: [`${this.server}/24`] })
    srv.ip('route add default via 198.51.100.1')
    const natA = nat(internet, 'nat-a', core, '203.0.113', device, '192.168.7.2')
    const [, devPort] = internet.link({ host: dev, addresses: ['192.168.7.2/24'] }, { host: natA, addresses: [] })
    natA.ip('link add lan type bridge')
    natA.ip(`link set ${devPort} master lan`)
    natA.addAddress('192.168.7.1/24', 'lan')
    natA.ip('link set lan up')
    dev.ip('route add default via 192.168.7.1')
    if (operator === 'same-lan') {
      const [, port] = internet.link({ host: ops, addresses: ['192.168.7.3/24'] }, { host: natA, addresses: [] })
      natA.ip(`link set ${port} master lan`)
      ops.ip('route add default via 192.168.7.1')
      return
    }
    const natB = nat(internet, 'nat-b', core, '203.0.114', operator, '192.168.8.2')
    internet.link({ host: ops, addresses: ['192.168.8.2/24'] }, { host: natB, addresses: ['192.168.8.1/24'] })
    ops.ip('route add default via 192.168.8.1')
  }

  /** Nothing passes between the two networks, while each still reaches the server. */
  blockDirect(): void {
    this.core.nft(`table ip between {
      chain f {
        type filter hook forward priority 0;
        ip saddr 203.0.113.0/24 ip daddr 203.0.114.0/24 drop
        ip saddr 203.0.114.0/24 ip daddr 203.0.113.0/24 drop
      }
    }`)
  }

  unblockDirect(): void {
    this.core.nft('delete table ip between')
  }
}

function nat(internet: Internet, label: string, core: Host, network: string, kind: NatKind, inside: string): Host {
  const host = internet.host(label)
  const [out] = internet.link({ host, addresses: [`${network}.2/24`] }, { host: core, addresses: [`${network}.1/24`] })
  host.ip(`route add default via ${network}.1`)
  host.sysctl('net.ipv4.ip_forward=1')
  const masquerade = kind === 'symmetric' ? 'masquerade random,fully-random' : 'masquerade'
  // As routers at home do: what nobody asked for leaves no trace in conntrack, which would claim the port that it came to.
  host.nft(`table ip fw {
    chain in {
      type filter hook input priority 0;
      iifname "${out}" ct state new drop
    }
  }`)
  const letIn = `chain pre { type nat hook prerouting priority dstnat; iifname "${out}" udp dport 1024-65535 dnat to ${inside}\n }\n`
  const post = `chain post { type nat hook postrouting priority srcnat; oifname "${out}" ${masquerade}\n }\n`
  host.nft(`table ip nat { ${kind === 'full-cone' ? letIn : ''}${post} }\n`)
  return host
}

interface Place {
  network: DirectNetwork
  fleet: Fleet
  ann: Operator
  ssh(...command: string[]): string[]
  sshd: Sshd
}

async function place(t: TestContext, kinds: ConstructorParameters<typeof DirectNetwork>[1]): Promise<Place> {
  const network = new DirectNetwork(t, kinds)
  const { dev, srv, ops, server } = network
  const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443` })
  const sshd = await Sshd.start(t, { prefix: dev.prefix, port: 22 })
  const ann = new Operator(join(fleet.folder, 'operator-ann'), ops.prefix)
  t.after(() => ann.run(['logout']).catch(() => undefined))
  await ann.must(['login', '--claim', '-'], { input: await fleet.claim('operator', 'ann') })
  await fleet.grant('ann', 'pi', 22)
  await fleet.device('pi', { prefix: dev.prefix, services: [`ssh=${sshd.where}`] })
  const ssh = (...command: string[]): string[] => ['ssh', ...sshd.flags, '-l', sshd.user, 'pi', '--', ...command]
  return { network, fleet, ann, ssh, sshd }
}

interface PathStatus {
  state: string
  path: { kind: string; endpoint: string | null; roundTripMs: number | null }
  why: { code: string; text: string } | null
}

async function pathOf({ ann }: Place): Promise<PathStatus | undefined> {
  const status = JSON.parse(await ann.must(['status', '--json'])) as { tunnel: { devices?: (PathStatus & { name: string })[] } }
  return status.tunnel.devices?.find(({ name }) => name === 'pi')
}

/** Asks until the path is as wished; returns how long that took, ms. */
async function untilPath(at: Place, wanted: (status: PathStatus) => boolean, patienceMs: number): Promise<number> {
  const from = performance.now()
  for (;;) {
    const status = await pathOf(at)
    if (status !== undefined && wanted(status)) return performance.now() - from
    assert.ok(performance.now() - from < patienceMs, `the path is ${JSON.stringify(status)}`)
  }
}

describe('direct paths', () => {
  test('F-12 easy-easy: ssh begins at once over the hub, and goes direct; a scp of 50 MB runs across the change back and forth', async (t) => {
    const at = await place(t, { device: 'easy', operator: 'easy' })
    assert.equal(await at.ann.must(at.ssh('echo', 'first')), 'first\n')
    const took = await untilPath(at, ({ path }) => path.kind === 'reflexive' || path.kind === 'peer-reflexive', 10_000)
    t.diagnostic(`direct seen ${Math.round(took)} ms after the first ssh had ended`)
    const folder = mkdtempSync(join(tmpdir(), 'adit-direct-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'file')
    const bytes = Buffer.alloc(50_000_000)
    for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE((i * 2_654_435_761) >>> 0, i)
    writeFileSync(file, bytes)
    const target = join(folder, 'copied')
    const words = ['cp', ...at.sshd.flags, '-l', '40000', file, `${at.sshd.user}@pi:${target}`]
    const copying = at.ann.run(words, { timeoutMs: 120_000 })
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    at.network.blockDirect()
    await untilPath(at, ({ path }) => path.kind === 'relay', 10_000)
    assert.ok(statSync(target).size < bytes.length, 'the copy still runs')
    at.network.unblockDirect()
    // It is looked for after 3, 9, 21 and 51 s; on a machine that is busy one look may come to nothing.
    await untilPath(at, ({ path }) => path.kind !== 'relay', 60_000)
    const { status, stderr } = await copying
    assert.equal(status, 0, stderr)
    const hash = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
    assert.equal(hash(target), hash(file))
  })

  test('F-12 symmetric on both sides relays, and says why', async (t) => {
    const at = await place(t, { device: 'symmetric', operator: 'symmetric' })
    assert.equal(await at.ann.must(at.ssh('echo', 'first')), 'first\n')
    await untilPath(at, ({ state, why }) => state === 'established' && why?.code === 'nat', 15_000)
    assert.equal((await pathOf(at))?.path.kind, 'relay')
    assert.equal(await at.ann.must(at.ssh('echo', 'relayed')), 'relayed\n')
  })

  test('F-12 easy-hard: a symmetric side reaches one that lets in anybody, and ssh goes direct', async (t) => {
    const at = await place(t, { device: 'symmetric', operator: 'full-cone' })
    assert.equal(await at.ann.must(at.ssh('echo', 'first')), 'first\n')
    const took = await untilPath(at, ({ path }) => path.kind === 'peer-reflexive', 10_000)
    t.diagnostic(`direct seen ${Math.round(took)} ms after the first ssh had ended`)
    // The port that the NAT has given for this one way is in no candidate of the device's: it was learned from what came from there.
    assert.match((await pathOf(at))?.path.endpoint ?? '', /^203\.0\.113\.2:/)
    assert.equal(await at.ann.must(at.ssh('echo', 'direct')), 'direct\n')
  })

  test('F-12 easy-hard where the easy side filters by port: relays, and says why', async (t) => {
    const at = await place(t, { device: 'easy', operator: 'symmetric' })
    assert.equal(await at.ann.must(at.ssh('echo', 'first')), 'first\n')
    await untilPath(at, ({ state, why }) => state === 'established' && why?.code === 'nat', 15_000)
    assert.equal((await pathOf(at))?.path.kind, 'relay')
    assert.equal(await at.ann.must(at.ssh('echo', 'relayed')), 'relayed\n')
  })

  test('one LAN, the broker killed: ssh within 5 s, under the statements of before', async (t) => {
    const at = await place(t, { device: 'easy', operator: 'same-lan' })
    assert.equal(await at.ann.must(at.ssh('echo', 'first')), 'first\n')
    await untilPath(at, ({ path }) => path.kind === 'host', 10_000)
    await at.fleet.broker.stop('SIGKILL')
    for (const round of ['with the tunnel process of before', 'with a new one']) {
      const from = performance.now()
      assert.equal(await at.ann.must(at.ssh('echo', round), { timeoutMs: 20_000 }), `${round}\n`)
      const took = performance.now() - from
      t.diagnostic(`${round}: ${Math.round(took)} ms`)
      // Of a checkout each program compiles itself when it starts: a new tunnel process costs that twice.
      const isCompiled = process.env.ADIT_PROGRAMS === 'bundle'
      assert.ok(took <= (round === 'with a new one' && !isCompiled ? 8_000 : 5_000), `${round}: ${took} ms`)
      const { tunnel } = JSON.parse(await at.ann.must(['status', '--json'])) as { tunnel: { pid?: number } }
      if (tunnel.pid !== undefined) process.kill(tunnel.pid, 'SIGTERM')
      await new Promise((resolve) => setTimeout(resolve, 1_000))
    }
  })
})
