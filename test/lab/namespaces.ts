import { execFile, execFileSync } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import type { TestContext } from 'node:test'

/** Above what a namespace gives by itself. */
const FIRST_INDEX = 100_000

/**
 * A small internet of network namespaces, joined by veth pairs. Every namespace has a name of its own (`adit-HEX-LABEL`), so that tests
 * can run side by side; all of them go when the test ends, however it ends. Needs root.
 */
export class Internet {
  readonly #suffix = randomBytes(4).toString('hex')
  readonly #hosts: Host[] = []
  #links = 0

  static open(t: Pick<TestContext, 'after'>): Internet {
    const internet = new Internet()
    t.after(() => internet.close())
    return internet
  }

  host(label: string): Host {
    const host = new Host(`adit-${this.#suffix}-${label}`)
    execFileSync('ip', ['netns', 'add', host.name])
    this.#hosts.push(host)
    host.ip('link set lo up')
    // Else Linux takes the second address of a network away together with the first.
    host.sysctl('net.ipv4.conf.all.promote_secondaries=1')
    return host
  }

  /**
   * A wire between two hosts, with a carrier from its first moment. Returns the names of its two interfaces. Linux tells a carrier up to a
   * second late where the two ends of a wire have one index, as the first interfaces of two namespaces have: these have their own.
   */
  link(a: WireEnd, b: WireEnd): [string, string] {
    const names: [string, string] = [`v${this.#links}a`, `v${this.#links}b`]
    const index = FIRST_INDEX + 2 * this.#links++
    const [endA, endB] = [
      `${names[0]} index ${index} netns ${a.host.name}`,
      `${names[1]} index ${index + 1} netns ${b.host.name}`,
    ]
    execFileSync('ip', words(`link add ${endA} type veth peer name ${endB}`))
    for (const [{ host, addresses }, name] of [
      [a, names[0]],
      [b, names[1]],
    ] as const) {
      for (const address of addresses) host.addAddress(address, name)
      host.ip(`link set ${name} up`)
    }
    return names
  }

  /** A wire between a host and where the test itself runs, which goes with the host. Returns the addresses of both ends, ours first. */
  linkHere(host: Host): [here: string, there: string] {
    const name = `adit${randomBytes(4).toString('hex')}`
    // Of the network for benchmarks (RFC 2544), which no machine is on: a part by chance, since others may run beside us.
    const net = `198.${18 + randomInt(2)}.${randomInt(256)}`
    const last = randomInt(64) * 4
    const [here, there] = [`${net}.${last + 1}`, `${net}.${last + 2}`]
    execFileSync('ip', words(`link add ${name} type veth peer name here index ${FIRST_INDEX - 1} netns ${host.name}`))
    execFileSync('ip', words(`addr add ${here}/30 dev ${name}`))
    execFileSync('ip', words(`link set ${name} up`))
    host.addAddress(`${there}/30`, 'here')
    host.ip('link set here up')
    return [here, there]
  }

  close(): void {
    for (const host of this.#hosts.splice(0)) {
      try {
        execFileSync('ip', ['netns', 'delete', host.name], { stdio: 'ignore' })
      } catch {
        // Somebody else has removed it: that is what we want.
      }
    }
  }
}

export interface WireEnd {
  host: Host
  /** With prefix length, of either family. */
  addresses: readonly string[]
}

/** One network namespace. */
export class Host {
  readonly name: string
  /** The words before a command that make it run here; process ids and signals stay those of the command. */
  readonly prefix: readonly string[]

  constructor(name: string) {
    this.name = name
    this.prefix = ['ip', 'netns', 'exec', name]
  }

  /** `ip` inside; returns what it says. */
  ip(command: string): string {
    return execFileSync('ip', ['-n', this.name, ...words(command)], { encoding: 'utf8' })
  }

  addAddress(address: string, device: string): void {
    // Duplicate address detection would keep an IPv6 address unusable for a second or two.
    this.ip(`addr add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`)
  }

  /** A command inside, to its end; returns what it says. Throws where it fails. */
  run(command: string, ...args: readonly string[]): string {
    return execFileSync(this.prefix[0]!, [...this.prefix.slice(1), command, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  nft(rules: string): void {
    execFileSync(this.prefix[0]!, [...this.prefix.slice(1), 'nft', '-f', '-'], { input: rules })
  }

  sysctl(...settings: readonly string[]): void {
    this.run('sysctl', '-qw', ...settings)
  }

  /** How many of `count` echo requests, 200 ms apart, are answered. The caller's event loop stays free meanwhile. */
  pings(address: string, count = 1): Promise<number> {
    const command = [...this.prefix, 'ping', '-n', '-c', String(count), '-i', '0.2', '-W', '1', address]
    return new Promise((resolve) => {
      execFile(command[0]!, command.slice(1), (_error, said) => resolve(Number(/(\d+) received/.exec(said)?.[1] ?? 0)))
    })
  }
}

const words = (command: string): string[] => command.split(' ')
