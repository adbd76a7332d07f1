import type { TestContext } from 'node:test'
import { type Host, Internet } from '#test/lab/namespaces.ts'

/** `easy`: one outer port for all destinations, kept where possible. `symmetric`: a random outer port for each destination. */
export type NatKind = 'easy' | 'symmetric'

export interface NatNetworkOptions {
  kind: NatKind
  /** Seconds that the NAT remembers a UDP mapping without traffic (30), and one that had answers (120). */
  mapping?: { fresh: number; answered: number }
}

/**
 *   dev ------------- nat ------------------ core ------------------ srv
 *   192.168.7.2       192.168.7.1            203.0.113.1             198.51.100.2
 *                     203.0.113.2 (outer)    198.51.100.1            198.51.100.3
 *
 * A device behind a NAT of Linux, a server, and in between the open internet where packets can be lost.
 */
export class NatNetwork {
  readonly internet: Internet
  readonly dev: Host
  readonly nat: Host
  readonly core: Host
  readonly srv: Host
  readonly server = '198.51.100.2'
  #outer = '203.0.113.2'
  readonly #devLink: string
  readonly #natLink: string

  constructor(t: Pick<TestContext, 'after'>, { kind, mapping = { fresh: 30, answered: 120 } }: NatNetworkOptions) {
    this.internet = Internet.open(t)
    this.dev = this.internet.host('dev')
    this.nat = this.internet.host('nat')
    this.core = this.internet.host('core')
    this.srv = this.internet.host('srv')
    const { dev, nat, core, srv } = this
    const [devLink] = this.internet.link(
      { host: dev, addresses: ['192.168.7.2/24'] },
      { host: nat, addresses: ['192.168.7.1/24'] },
    )
    const [natLink] = this.internet.link(
      { host: nat, addresses: [`${this.#outer}/24`] },
      { host: core, addresses: ['203.0.113.1/24'] },
    )
    this.internet.link(
      { host: core, addresses: ['198.51.100.1/24'] },
      { host: srv, addresses: [`${this.server}/24`, '198.51.100.3/24'] },
    )
    this.#devLink = devLink
    this.#natLink = natLink
    dev.ip('route add default via 192.168.7.1')
    nat.ip('route add default via 203.0.113.1')
    srv.ip('route add default via 198.51.100.1')
    for (const router of [nat, core]) router.sysctl('net.ipv4.ip_forward=1')
    const masquerade = kind === 'symmetric' ? 'masquerade random,fully-random' : 'masquerade'
    nat.nft(`table ip nat {
      chain post {
        type nat hook postrouting priority srcnat;
        oifname "${natLink}" ${masquerade}
      }
    }`)
    nat.sysctl(
      `net.netfilter.nf_conntrack_udp_timeout=${mapping.fresh}`,
      `net.netfilter.nf_conntrack_udp_timeout_stream=${mapping.answered}`,
    )
  }

  /** Loses so many percent of the packets each way, by chance. */
  lose(percent: number): void {
    this.#weather(percent === 0 ? '' : `numgen random mod 100 < ${percent} drop`)
  }

  /** Lets nothing through, either way. */
  block(): void {
    this.#weather('drop')
  }

  unblock(): void {
    this.#weather('')
  }

  /** The NAT forgets every mapping, as after its restart. */
  forget(): void {
    this.nat.run('conntrack', '-F')
  }

  /** The provider gives the NAT another public address. */
  renumber(): void {
    const last = Number(this.#outer.split('.').at(-1))
    const next = `203.0.113.${last === 250 ? 2 : last + 1}`
    this.nat.addAddress(`${next}/24`, this.#natLink)
    this.nat.ip(`addr del ${this.#outer}/24 dev ${this.#natLink}`)
    this.nat.ip('route replace default via 203.0.113.1')
    this.#outer = next
    this.forget()
  }

  /** The device gets another address in its own network. */
  moveDevice(host: number): void {
    const { dev } = this
    dev.ip(`addr flush dev ${this.#devLink}`)
    dev.addAddress(`192.168.7.${host}/24`, this.#devLink)
    dev.ip('route replace default via 192.168.7.1')
  }

  get outer(): string {
    return this.#outer
  }

  #weather(rule: string): void {
    this.core.nft(`table ip weather
      delete table ip weather
      table ip weather {
        chain passing {
          type filter hook forward priority 0;
          ${rule}
        }
      }`)
  }
}
