import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { NatNetwork } from '#test/lab/nat-network.ts'
import { seen } from '#test/lab/seen.ts'

/** It refuses to map what is reserved, and that is every network for documentation: this one is seen in no other namespace. */
export const mappedAddress = '11.22.33.44'

/** Debian's miniupnpd on the NAT of a NatNetwork: PCP and NAT-PMP of the real world, or UPnP alone. */
export class Miniupnpd {
  readonly #network: NatNetwork
  readonly #folder = mkdtempSync(join(tmpdir(), 'adit-miniupnpd-'))
  #child: ChildProcess | undefined

  private constructor(network: NatNetwork) {
    this.#network = network
  }

  static async start(
    t: Pick<TestContext, 'after'>,
    network: NatNetwork,
    { speaks = 'pcp' }: { speaks?: 'pcp' | 'upnp' } = {},
  ): Promise<Miniupnpd> {
    const daemon = new Miniupnpd(network)
    t.after(async () => {
      await daemon.#stop()
      rmSync(daemon.#folder, { recursive: true, force: true })
    })
    const { nat, core } = network
    const inside = deviceTo(network, '192.168.7.2')
    const outside = deviceTo(network, '203.0.113.1')
    nat.addAddress(`${mappedAddress}/32`, outside)
    core.ip(`route add ${mappedAddress}/32 via ${network.outer}`)
    nat.nft(`table inet upnp {
      chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "${inside}" accept
        jump miniupnpd
      }
      chain miniupnpd {}
      chain prerouting { type nat hook prerouting priority dstnat; jump prerouting_miniupnpd; }
      chain postrouting { type nat hook postrouting priority srcnat; jump postrouting_miniupnpd; }
      chain prerouting_miniupnpd {}
      chain postrouting_miniupnpd {}
    }`)
    const settings = {
      ...{ ext_ifname: outside, ext_ip: mappedAddress, listening_ip: inside, port: 0 },
      ...{
        enable_natpmp: speaks === 'pcp' ? 'yes' : 'no',
        enable_upnp: speaks === 'upnp' ? 'yes' : 'no',
        secure_mode: 'yes',
        system_uptime: 'no',
      },
      ...{ upnp_table_name: 'upnp', upnp_nat_table_name: 'upnp', upnp_forward_chain: 'miniupnpd' },
      ...{ upnp_nat_chain: 'prerouting_miniupnpd', upnp_nat_postrouting_chain: 'postrouting_miniupnpd' },
      uuid: '00000000-0000-0000-0000-000000000000',
    }
    const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
    writeFileSync(join(daemon.#folder, 'conf'), `${lines.join('')}allow 1024-65535 0.0.0.0/0 1024-65535\n`)
    await daemon.#run()
    return daemon
  }

  /** Ports that lead inside now. */
  mappings(): number[] {
    const rules = this.#network.nat.run('nft', 'list', 'chain', 'inet', 'upnp', 'prerouting_miniupnpd')
    return [...rules.matchAll(/dport (\d+) dnat/g)].map(([, port]) => Number(port))
  }

  /** It forgets everything, as after a loss of power. */
  async restart(): Promise<void> {
    await this.#stop('SIGKILL')
    for (const chain of ['miniupnpd', 'prerouting_miniupnpd'])
      this.#network.nat.run('nft', 'flush', 'chain', 'inet', 'upnp', chain)
    // Once it runs, it is asked again before anybody can look.
    assert.deepEqual(this.mappings(), [])
    await this.#run()
  }

  async #run(): Promise<void> {
    const { nat } = this.#network
    const words = ['miniupnpd', '-d', '-f', join(this.#folder, 'conf'), '-P', join(this.#folder, 'pid')]
    this.#child = spawn(nat.prefix[0]!, [...nat.prefix.slice(1), ...words], { stdio: 'ignore' })
    const open = () => nat.run('ss', '-Huln', '( sport = :5351 or sport = :1900 )') !== ''
    await seen(open, Boolean, { timeoutMs: 10_000, otherwise: () => 'miniupnpd did not open its port' })
  }

  async #stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'close')
  }
}

/** The NAT's interface on the way to an address. */
const deviceTo = ({ nat }: NatNetwork, address: string): string => / dev (\S+)/.exec(nat.ip(`route get ${address}`))![1]!
