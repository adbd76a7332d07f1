import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { NameServer } from '#test/lab/name-server.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { seen } from '#test/lab/seen.ts'

/** What the translator writes IPv4 addresses with, and ipv4only.arpa with it, by hand (RFC 6052 §2.2). */
const prefix = '2001:db8:64::/96'
const madeOfWellKnown = ['2001:db8:64::c000:aa', '2001:db8:64::c000:ab']

/**
 *   dev ----------------- gate ------------------------------------ srv
 *   2001:db8:7::2         2001:db8:7::1   Debian's tayga (NAT64)    198.51.100.2
 *   (192.168.7.2)         (192.168.7.1)   198.51.100.1, a NAT44
 *
 * A device in a network of IPv6 alone, as cellular ones are, whose gateway translates to an internet of IPv4; and its name server. The device
 * may be given IPv4 too, and lose it again.
 */
export class Nat64Network {
  readonly internet: Internet
  readonly dev: Host
  readonly gate: Host
  readonly srv: Host
  readonly server = '198.51.100.2'
  readonly prefix = prefix
  readonly dns: NameServer
  readonly #devLink: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'adit-tayga-'))
  #tayga: ChildProcess | undefined

  private constructor(internet: Internet, hosts: { dev: Host; gate: Host; srv: Host }, devLink: string, dns: NameServer) {
    this.internet = internet
    this.dev = hosts.dev
    this.gate = hosts.gate
    this.srv = hosts.srv
    this.#devLink = devLink
    this.dns = dns
  }

  static async open(t: Pick<TestContext, 'after'>): Promise<Nat64Network> {
    const internet = Internet.open(t)
    const [dev, gate, srv] = [internet.host('dev'), internet.host('gate'), internet.host('srv')]
    const [devLink] = internet.link(
      { host: dev, addresses: ['2001:db8:7::2/64'] },
      { host: gate, addresses: ['2001:db8:7::1/64', '192.168.7.1/24'] },
    )
    const [outer] = internet.link({ host: gate, addresses: ['198.51.100.1/24'] }, { host: srv, addresses: ['198.51.100.2/24'] })
    dev.ip('-6 route add default via 2001:db8:7::1')
    srv.ip('route add default via 198.51.100.1')
    gate.sysctl('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    gate.nft(`table ip nat {
      chain post {
        type nat hook postrouting priority srcnat;
        oifname "${outer}" masquerade
      }
    }`)
    const dns = await NameServer.start(t, gate, '2001:db8:7::1', [dev])
    const network = new Nat64Network(internet, { dev, gate, srv }, devLink, dns)
    t.after(() => {
      // A stopped one ends by nothing less, and what it was writing may still be there for a moment.
      network.#tayga?.kill('SIGKILL')
      rmSync(network.#folder, { recursive: true, force: true, maxRetries: 10 })
    })
    await network.knowNat64()
    await network.#translate()
    return network
  }

  /** The name server is a DNS64. */
  knowNat64(): Promise<void> {
    return this.dns.behave(`ipv4only ${madeOfWellKnown.join(' ')}`)
  }

  async #translate(): Promise<void> {
    const { gate } = this
    const config = join(this.#folder, 'tayga.conf')
    writeFileSync(
      config,
      [
        'tun-device nat64',
        'ipv4-addr 192.168.255.1',
        `prefix ${prefix}`,
        'dynamic-pool 192.168.255.0/24',
        `data-dir ${this.#folder}`,
        '',
      ].join('\n'),
    )
    gate.run('tayga', '-c', config, '--mktun')
    gate.ip('link set nat64 up')
    gate.ip('route add 192.168.255.0/24 dev nat64')
    gate.ip(`-6 route add ${prefix} dev nat64`)
    const [command, ...words] = [...gate.prefix, 'tayga', '-c', config, '--nodetach']
    this.#tayga = spawn(command!, words, { stdio: 'ignore' })
    await seen(
      () => this.dev.pings('2001:db8:64::c633:6402'),
      (answers) => answers > 0,
      { timeoutMs: 10_000, otherwise: () => 'the NAT64 does not translate' },
    )
  }

  /** Packets to the translator vanish; it is still what the name server speaks of. */
  breakTranslator(): void {
    this.#tayga?.kill('SIGSTOP')
  }

  /** The device gets an IPv4 address and a route beside IPv6, or loses them. */
  giveIpv4(): void {
    this.dev.addAddress('192.168.7.2/24', this.#devLink)
    this.dev.ip('route add default via 192.168.7.1')
  }

  takeIpv4(): void {
    this.dev.ip(`-4 addr flush dev ${this.#devLink}`)
  }

  /** Likewise with IPv6. */
  giveIpv6(): void {
    this.dev.addAddress('2001:db8:7::2/64', this.#devLink)
    this.dev.ip('-6 route replace default via 2001:db8:7::1')
  }

  takeIpv6(): void {
    this.dev.ip(`-6 addr del 2001:db8:7::2/64 dev ${this.#devLink}`)
    this.dev.ip('-6 route del default')
  }
}
