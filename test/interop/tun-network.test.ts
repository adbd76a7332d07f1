import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { chmod, chown, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { TunPlan } from '#shared/platform/tun-network/tun-plan.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { networkSnapshot } from '#test/lab/network-snapshot.ts'
import type { Order } from './tun-network-child.ts'

const broker4 = '203.0.113.9'
const broker6 = '2001:db8:9::9'
/** Anybody else out there, who answers where anything leaks. */
const elsewhere4 = '198.51.100.1'
const elsewhere6 = '2001:db8:5::1'
const resolver = 'fd12:3456:789a::53'

const split: TunPlan = {
  name: 'adit0',
  addresses: ['fd12:3456:789a::1', '100.64.0.5'],
  mtu: 1_280,
  routes: ['fd12:3456:789a::/48', '100.64.0.0/16'],
}
const whole: TunPlan = { ...split, all: { outside: [broker4, broker6], dns: [resolver] } }

test('split tunnel: the fleet by the tunnel, all else as before; a change leaves alone what both plans have; nothing stays', async (t) => {
  const { agent, folder, before } = await town(t)
  const child = await Child.start(t, agent, { op: 'apply', plan: split, options: folder.options })
  assert.match(agent.ip('route get 100.64.9.9'), /dev adit0 src 100\.64\.0\.5/)
  assert.match(agent.ip('route get fd12:3456:789a::77'), /dev adit0.* src fd12:3456:789a::1/)
  assert.match(agent.ip(`route get ${elsewhere4}`), /via 192\.168\.7\.1/)
  assert.equal(await folder.ledger(), undefined, 'nothing of it could outlive the interface')
  assert.match(agent.ip('address show dev adit0'), /mtu 1280/)
  assert.doesNotMatch(agent.ip('address show dev adit0'), /fe80/, 'no router solicitation goes into the tunnel')

  const routed = agent.ip('route show dev adit0')
  await child.must({ op: 'change', plan: { ...split, mtu: 1_420, routes: [...split.routes, '10.9.0.0/16'] } })
  assert.match(agent.ip('address show dev adit0'), /mtu 1420/)
  assert.match(agent.ip('route get 10.9.1.1'), /dev adit0/)
  await child.must({ op: 'change', plan: { ...split, mtu: 1_420 } })
  assert.equal(agent.ip('route show dev adit0'), routed)

  agent.ip('route del 100.64.0.0/16 dev adit0')
  await child.must({ op: 'renew' })
  assert.equal(agent.ip('route show dev adit0'), routed, 'what another program took away is there again')

  // It has moved into a network that the fleet has too: that is told, and keeps nothing else from changing.
  agent.ip('addr add 100.64.7.2/24 dev v0a')
  await child.must({ op: 'renew' })
  assert.match(child.stderr, /100\.64\.0\.0\/16 goes into the tunnel, but this machine has 100\.64\.7\.2 on v0a/)
  await child.must({ op: 'change', plan: split })
  agent.ip('addr del 100.64.7.2/24 dev v0a')

  await child.must({ op: 'undo' })
  await child.must({ op: 'undo' })
  await child.kill('SIGTERM')
  assert.equal(networkSnapshot(agent), before)
})

test('P-31 route = "all": the broker is reached outside whatever becomes of the main table, all else goes into the tunnel or nowhere', async (t) => {
  const { agent, folder, before } = await town(t)
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 1, elsewhere6: 1 }, 'the bed')
  const child = await Child.start(t, agent, { op: 'apply', plan: whole, options: folder.options })
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 })
  const sent = await child.sent()
  assert.ok(sent[`1 ${elsewhere4}`]! >= 1 && sent[`58 ${elsewhere6}`]! >= 1, 'they went into the tunnel')
  assert.match(agent.ip('route get 192.168.7.50'), /dev v0a/, 'the LAN stays outside')

  // DHCP gives another gateway: nobody tells us, and nobody needs to.
  agent.ip('route replace default via 192.168.8.1')
  agent.ip('-6 route del default')
  agent.ip('-6 route add default via fd08::1')
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 })

  // The network is gone: our own datagrams go nowhere, and never into the tunnel that they would have to carry.
  agent.ip('route del default')
  agent.ip('-6 route del default')
  assert.deepEqual(await reached(agent), { broker4: 0, broker6: 0, elsewhere4: 0, elsewhere6: 0 })
  agent.ip('route add default via 192.168.7.1')
  agent.ip('-6 route add default via fd07::1')

  // The broker moves.
  const moved = { ...whole, all: { outside: [elsewhere4, elsewhere6], dns: [resolver] } }
  await child.must({ op: 'change', plan: moved })
  assert.deepEqual(await reached(agent), { broker4: 0, broker6: 0, elsewhere4: 1, elsewhere6: 1 })
  await child.must({ op: 'change', plan: whole })
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 })

  const after = await child.sent()
  assert.equal((after[`1 ${broker4}`] ?? 0) + (after[`58 ${broker6}`] ?? 0), 2, 'only while the broker was said to be elsewhere')
  await child.must({ op: 'undo' })
  await child.kill('SIGTERM')
  assert.equal(networkSnapshot(agent), before)
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 1, elsewhere6: 1 })
})

test('route = "all" over a tunnel without IPv6 lets none out, and one with IPv6 alone no IPv4', async (t) => {
  const { agent, folder } = await town(t)
  const four = { ...whole, addresses: ['100.64.0.5'] }
  const child = await Child.start(t, agent, { op: 'apply', plan: four, options: folder.options })
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 })
  assert.equal((await child.sent())[`58 ${elsewhere6}`], undefined)
  await child.must({ op: 'change', plan: { ...whole, addresses: ['fd12:3456:789a::1'] } })
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 })
})

test('what was connected before route = "all" does not go on outside', async (t) => {
  const { agent, world, folder } = await town(t)
  world.nft(`table inet seen {
    counter four {}
    counter six {}
    chain in {
      type filter hook input priority 0
      ip daddr ${elsewhere4} udp dport 9 counter name four drop
      ip6 daddr ${elsewhere6} udp dport 9 counter name six drop
    }
  }`)
  const seen = (): number[] =>
    ['four', 'six'].map((name) => Number(/packets (\d+)/.exec(world.run('nft', 'list', 'counter', 'inet', 'seen', name))![1]))
  const talk = `exec 3<>/dev/udp/${elsewhere4}/9 4<>/dev/udp/${elsewhere6}/9; while sleep 0.05; do echo >&3; echo >&4; done 2>/dev/null`
  const talker = spawn(agent.prefix[0]!, [...agent.prefix.slice(1), 'bash', '-c', talk], { stdio: 'ignore' })
  t.after(() => talker.kill('SIGKILL'))
  while (seen().some((packets) => packets < 3)) await wait(50)
  await Child.start(t, agent, { op: 'apply', plan: whole, options: folder.options })
  await wait(100)
  const before = seen()
  await wait(500)
  assert.deepEqual(seen(), before)
})

test('an interface on which IPv6 is switched off serves with IPv4, and is refused where there is no IPv4', async (t) => {
  const { agent, folder, before } = await town(t)
  agent.sysctl('net.ipv6.conf.default.disable_ipv6=1')
  const child = await Child.start(t, agent, { op: 'apply', plan: whole, options: folder.options })
  assert.match(child.stderr, /IPv6 is switched off/)
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 })
  await child.must({ op: 'undo' })
  const refused = await child.ask({ op: 'apply', plan: { ...split, addresses: ['fd12:3456:789a::1'] } })
  assert.equal(refused.error, 'network-failed')
  await child.kill('SIGTERM')
  assert.equal(networkSnapshot(agent), before)
})

test('after kill -9 nothing leaks; the next start undoes all, and puts resolv.conf back as it was', async (t) => {
  const { agent, folder, before } = await town(t)
  const child = await Child.start(t, agent, { op: 'apply', plan: whole, options: folder.options })
  assert.match(await readFile(folder.resolvConf, 'utf8'), new RegExp(`^nameserver ${resolver}$`, 'm'))
  await child.kill('SIGKILL')
  assert.equal(agent.ip('-j link show').includes('adit0'), false)
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 }, 'fails closed')

  // Another state folder knows nothing of it.
  const other = await Folder.make(t)
  const stranger = await Child.start(t, agent, { op: 'open', plan: split, options: other.options })
  const refused = await stranger.ask({ op: 'apply', plan: whole })
  assert.equal(refused.error, 'network-failed')
  assert.equal(await other.ledger(), undefined)

  const again = await Child.start(t, agent, { op: 'recover', options: folder.options })
  assert.equal(again.first.result, true)
  assert.equal((await again.ask({ op: 'recover' })).result, false)
  assert.equal(await readlink(folder.resolvConf), 'run/stub.conf')
  await stranger.kill('SIGTERM')
  assert.equal(networkSnapshot(agent), before)

  // What a person without the folder is told to type does it too.
  const lost = await Child.start(t, agent, { op: 'apply', plan: whole, options: folder.options })
  await lost.kill('SIGKILL')
  for (const command of String(refused.mend).split(': ')[1]!.split(';')) agent.run('sh', '-c', command)
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 1, elsewhere6: 1 })
})

test('F-22 killed with -9 at twenty random moments of applying, changing and undoing: each next start finds the machine as it was', async (t) => {
  const { agent, folder, before } = await town(t)
  const judge = await Child.start(t, agent, { op: 'recover', options: folder.options })
  const states: string[] = []
  for (let round = 0; round < 20; round++) {
    const child = await Child.start(t, agent, { op: 'spin', plan: whole, options: folder.options }, { event: 'spinning' })
    await wait(randomInt(600))
    await child.kill('SIGKILL')
    // A line of `ip` that was under way ends by itself.
    await wait(20)
    states.push(`${agent.ip('rule').split('\n').length - 4}${(await folder.ledger()) === undefined ? '' : '+'}`)
    await judge.must({ op: 'recover' })
    assert.equal(networkSnapshot(agent), before, `round ${round}`)
    assert.equal(await readlink(folder.resolvConf), 'run/stub.conf')
    assert.deepEqual(await readdir(folder.etc), ['resolv.conf', 'run'])
    assert.equal(await folder.ledger(), undefined)
  }
  t.diagnostic(`rules left, and with a ledger (+): ${states.join(' ')}`)
})

test('rules that another program takes away, and a resolv.conf that it replaces, are made again; theirs comes back at the end', async (t) => {
  const { agent, folder, before } = await town(t)
  const child = await Child.start(t, agent, { op: 'apply', plan: whole, options: folder.options })
  // systemd-networkd, when it starts, deletes what it has not made.
  for (const family of ['-4', '-6']) agent.ip(`${family} rule flush protocol 145`)
  agent.ip('route flush table 14500')
  // A DHCP client, when it renews.
  await rm(folder.resolvConf)
  await writeFile(folder.resolvConf, 'nameserver 192.168.8.1\n', { mode: 0o640 })
  await child.must({ op: 'renew' })
  assert.match(child.stderr, /another program has taken away/)
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 })
  assert.match(await readFile(folder.resolvConf, 'utf8'), new RegExp(`^nameserver ${resolver}$`, 'm'))
  await child.must({ op: 'undo' })
  await child.kill('SIGTERM')
  assert.equal(await readFile(folder.resolvConf, 'utf8'), 'nameserver 192.168.8.1\n')
  assert.equal(networkSnapshot(agent), before)
})

test('a network that this machine is in, or an address of its own, is not taken into the tunnel', async (t) => {
  const { agent, folder, before } = await town(t)
  for (const [routes, addresses, says] of [
    [['192.168.0.0/16'], ['100.64.0.5'], /192\.168\.0\.0\/16 .* 192\.168\.7\.2 on v0a/],
    [['fd07::/32'], ['fd07::99'], /fd07::.* on v0a/],
    [['172.16.0.0/12'], ['100.64.0.5'], /172\.16\.0\.0\/12 .* 172\.16\.5\.0\/24 by v0a/],
  ] as const) {
    agent.ip('route replace 172.16.5.0/24 dev v0a')
    const plan = { ...split, routes, addresses }
    const child = await Child.start(t, agent, { op: 'open', plan, options: folder.options })
    const refused = await child.ask({ op: 'apply', plan })
    assert.equal(refused.error, 'network-overlap')
    assert.match(String(refused.message), says)
    await child.kill('SIGTERM')
    agent.ip('route del 172.16.5.0/24 dev v0a')
  }
  assert.equal(networkSnapshot(agent), before)
})

test('an unprivileged user with CAP_NET_ADMIN alone: the network works, a resolv.conf of root is refused and all undone', async (t) => {
  const { agent, folder, before } = await town(t)
  const nobody = 65_534
  await chown(folder.state, nobody, nobody)
  const drop = `setpriv --reuid ${nobody} --regid ${nobody} --clear-groups --no-new-privs`.split(' ')
  const admin = ['--inh-caps', '--ambient-caps', '--bounding-set'].flatMap((set) => [set, '-all,+net_admin'])
  const child = await Child.start(t, agent, { op: 'open', plan: split, options: folder.options }, { prefix: [...drop, ...admin] })
  const refused = await child.ask({ op: 'apply', plan: whole })
  assert.equal(refused.error, 'permission-missing')
  assert.match(String(refused.message), /resolv\.conf/)
  assert.equal(await folder.ledger(), undefined)
  await child.must({ op: 'apply', plan: { ...whole, all: { ...whole.all!, dns: [] } } })
  assert.deepEqual(await reached(agent), { broker4: 1, broker6: 1, elsewhere4: 0, elsewhere6: 0 })
  await child.must({ op: 'undo' })
  await child.kill('SIGTERM')
  assert.equal(networkSnapshot(agent), before)

  agent.ip(`tuntap add dev adit0 mode tun user ${nobody}`)
  const without = ['--inh-caps', '--ambient-caps', '--bounding-set'].flatMap((set) => [set, '-all'])
  const poor = await Child.start(
    t,
    agent,
    { op: 'open', plan: split, options: folder.options },
    { prefix: [...drop, ...without] },
  )
  const no = await poor.ask({ op: 'apply', plan: split })
  assert.equal(no.error, 'permission-missing')
  assert.match(String(no.message), /ip link set dev adit0 .*Operation not permitted/)
})

/** The agent has two ways out; broker and elsewhere are one machine, which answers on both. */
async function town(t: TestContext): Promise<{ agent: Host; world: Host; folder: Folder; before: string }> {
  const internet = Internet.open(t)
  const agent = internet.host('agent')
  const world = internet.host('world')
  // Else the link-local addresses, by which neighbours are asked for, serve only after a second.
  for (const host of [agent, world]) host.sysctl('net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.default.dad_transmits=0')
  internet.link(
    { host: agent, addresses: ['192.168.7.2/24', 'fd07::2/64'] },
    { host: world, addresses: ['192.168.7.1/24', 'fd07::1/64'] },
  )
  internet.link(
    { host: agent, addresses: ['192.168.8.2/24', 'fd08::2/64'] },
    { host: world, addresses: ['192.168.8.1/24', 'fd08::1/64'] },
  )
  for (const address of [broker4, elsewhere4]) world.addAddress(`${address}/32`, 'lo')
  for (const address of [broker6, elsewhere6]) world.addAddress(`${address}/128`, 'lo')
  agent.ip('route add default via 192.168.7.1')
  agent.ip('-6 route add default via fd07::1')
  // Neighbours find each other only when both ends of a new wire have noticed it.
  for (const address of ['fd07::1', 'fd08::1', broker4, broker6]) {
    for (let tries = 1; (await agent.pings(address)) === 0; tries++) assert.ok(tries < 10, `${address} does not answer`)
  }
  return { agent, world, folder: await Folder.make(t), before: networkSnapshot(agent) }
}

async function reached(host: Host) {
  const [one, two, three, four] = await Promise.all(
    [broker4, broker6, elsewhere4, elsewhere6].map((address) => host.pings(address)),
  )
  return { broker4: one, broker6: two, elsewhere4: three, elsewhere6: four }
}

/** A state folder, and an /etc of its own whose resolv.conf is a link. No program speaks to this machine's systemd-resolved. */
class Folder {
  readonly state: string
  readonly etc: string
  readonly resolvConf: string

  private constructor(state: string, etc: string) {
    this.state = state
    this.etc = etc
    this.resolvConf = join(etc, 'resolv.conf')
  }

  static async make(t: TestContext): Promise<Folder> {
    const [state, etc] = [await mkdtemp(join(tmpdir(), 'adit-tun-')), await mkdtemp(join(tmpdir(), 'adit-etc-'))]
    t.after(() => Promise.all([state, etc].map((folder) => rm(folder, { recursive: true, force: true }))))
    await chmod(etc, 0o755)
    const folder = new Folder(state, etc)
    execFileSync('mkdir', [join(etc, 'run')])
    await writeFile(join(etc, 'run/stub.conf'), 'nameserver 192.168.7.1\n')
    await symlink('run/stub.conf', folder.resolvConf)
    return folder
  }

  get options(): NonNullable<Order['options']> {
    return { folder: this.state, resolvConf: this.resolvConf, programs: { resolvectl: '/nonexistent/resolvectl' } }
  }

  ledger(): Promise<string | undefined> {
    return readFile(join(this.state, 'tun-network.json'), 'utf8').catch(() => undefined)
  }
}

type Answer = Readonly<Record<string, unknown>>

class Child {
  stderr = ''
  first: Answer = {}
  readonly #process: ChildProcess
  readonly #answers: AsyncIterator<string>

  private constructor(process: ChildProcess) {
    this.#process = process
    process.stderr!.on('data', (bytes) => {
      this.stderr += bytes
    })
    this.#answers = createInterface({ input: process.stdout! })[Symbol.asyncIterator]()
  }

  /** With its first order carried out, unless another event is waited for. */
  static async start(
    t: TestContext,
    host: Host,
    order: Order,
    { prefix = [], event = 'done' }: { prefix?: readonly string[]; event?: string } = {},
  ): Promise<Child> {
    const file = join(import.meta.dirname, 'tun-network-child.ts')
    const [program, ...words] = [...host.prefix, ...prefix, process.execPath, '--import', 'tsx', file, JSON.stringify(order)]
    const child = new Child(spawn(program!, words, { stdio: ['pipe', 'pipe', 'pipe'] }))
    t.after(() => child.kill('SIGKILL'))
    child.first = await child.#next()
    assert.equal(child.first.event, event, JSON.stringify(child.first))
    return child
  }

  async ask(order: Order): Promise<Answer> {
    this.#process.stdin!.write(`${JSON.stringify(order)}\n`)
    return this.#next()
  }

  async must(order: Order): Promise<Answer> {
    const answer = await this.ask(order)
    assert.equal(answer.event, 'done', JSON.stringify(answer))
    return answer
  }

  async sent(): Promise<Record<string, number>> {
    return (await this.must({ op: 'sent' })).result as Record<string, number>
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const gone = once(this.#process, 'exit')
    this.#process.kill(signal)
    await gone
  }

  async #next(): Promise<Answer> {
    const { value, done } = await this.#answers.next()
    assert.ok(!done, this.stderr)
    return JSON.parse(value)
  }
}
