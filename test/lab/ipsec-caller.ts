import type { TestContext } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { FlowFilter, forever } from '#shared/dataplane/flow-filter.ts'
import type { Credential } from '#shared/ikev2/authentication.ts'
import { caKeyHash } from '#shared/ikev2/cert-request.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import { defaultIkeSettings, type IkeSettings } from '#shared/ikev2/ike-context.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { ChildPolicy, IkeOwner, Lifetime } from '#shared/ikev2/peer-policy.ts'
import { defaultEspProposals, defaultIkeProposals, parseProposals } from '#shared/ikev2/proposal.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { parseChain, verifyChain } from '#shared/pki/chain.ts'
import { purposes } from '#shared/pki/oids.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { PacketEngine } from '#shared/platform/packet-engine.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { Endpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import type { EspAssociation } from '#shared/tunnel/esp-association.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { Configuration, EspPorts } from '#shared/tunnel/esp-options.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import { formatAddress, parseCidr } from '#shared/wire/ip-address.ts'
import { seen } from '#test/lab/seen.ts'

export interface CallerOptions {
  /** Its literal outer address; the port is any. */
  bind: string
  gateway: Endpoint
  /** As which the gateway has to prove itself, and which root it has to come from. */
  gatewayId: string
  root: Certificate
  id: string
  credential: Credential
  /** What it asks to send from and to. */
  local: readonly string[]
  remote: readonly string[]
  ike?: readonly string[]
  esp?: readonly string[]
  settings?: Partial<IkeSettings>
  lifetime?: Partial<Lifetime>
  /** Of the hosts behind it: those that the gateway assigns, unless given. */
  addresses?: readonly string[]
}

const gatewayKey = 'a'.repeat(64)

/** Our esp endpoint as the initiator, in this process, on a real UDP socket, with our netstack behind it. */
export class IpsecCaller {
  readonly events: TunnelEvent[] = []
  readonly failures: NegotiationFailure[] = []
  configuration: Configuration | undefined
  association!: EspAssociation
  endpoint!: EspEndpoint
  engine!: PacketEngine
  netstack!: Netstack

  static async start(t: Pick<TestContext, 'after'>, options: CallerOptions): Promise<IpsecCaller> {
    const caller = new IpsecCaller()
    t.after(() => caller.stop())
    await caller.open(options)
    return caller
  }

  get isUp(): boolean {
    return this.association.state === 'established'
  }

  /** The inner addresses that the gateway has assigned. */
  get addresses(): string[] {
    return (this.configuration?.addresses ?? []).map((address) => formatAddress(address))
  }

  /** How many of `count` echo requests, `everyMs` apart, are answered. */
  async pings(address: string, count = 1, everyMs = 100): Promise<number> {
    const answers: Promise<number | undefined>[] = []
    for (let n = 0; n < count; n++) {
      answers.push(this.netstack.ping(address, { timeoutMs: 3_000 }))
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
    return (await Promise.all(answers)).filter((rtt) => rtt !== undefined).length
  }

  /** Resolves when data can flow; fails with what failed instead. */
  async up(timeoutMs = 15_000): Promise<void> {
    await this.#until(() => this.isUp, 'no association', timeoutMs)
  }

  /** Resolves to the first failure recorded. */
  async refused(): Promise<NegotiationFailure> {
    await this.#until(() => this.failures.length > 0, 'nothing failed', 15_000)
    return this.failures[0]!
  }

  async #until(holds: () => boolean, what: string, timeoutMs: number): Promise<void> {
    const otherwise = (): string => `${what}: ${JSON.stringify(this.failures)}`
    await seen(holds, Boolean, { timeoutMs, everyMs: 20, otherwise })
  }

  /** Says goodbye. */
  leave(): void {
    this.endpoint.removePeer(this.association)
    this.engine.kick()
  }

  async stop(): Promise<void> {
    this.netstack.destroy()
    await this.engine.close()
  }

  protected async open(options: CallerOptions): Promise<void> {
    const noise = { suite: nativeSuite, staticKey: nativeSuite.x25519.generate(), nextTimestamp: () => new Uint8Array(12) }
    this.engine = await PacketEngine.open({
      clock: systemClock,
      timers: systemTimers,
      bind: { address: options.bind, port: 0 },
      filter: new FlowFilter({ permit: () => forever }, 1),
      event: (event) => this.events.push(event),
      noise: (ports) => new WireguardEndpoint({ ...noise, ports }),
      esp: (ports) => this.#listen(options, ports),
      ports: { deliver: (packet) => this.netstack.input(packet) },
    })
    this.netstack = new Netstack({
      suite: nativeSuite,
      clock: systemClock,
      addresses: [],
      transmit: (packet) => this.engine.send(packet),
      wake: (at) => this.engine.driver.wake(at),
    })
    this.engine.drive(this.netstack)
    if (options.addresses) this.#settleAt(options.addresses)
    const { gateway, gatewayId } = options
    const initiation = {
      expectedId: parseId(gatewayId),
      child: childPolicy(options),
      request: { ip4: true, ip6: true, dns: true },
    }
    this.association = this.endpoint.addPeer(
      { peerKey: gatewayKey, endpoint: gateway, initiation, firstContact: true },
      systemClock.now(),
    )
    for (const prefix of options.remote) this.engine.plane.routes.insert(prefix, this.association)
    this.engine.kick()
  }

  #listen(options: CallerOptions, ports: EspPorts): EspEndpoint {
    const { root, id, credential, ike, settings } = options
    const child = childPolicy(options)
    const owner: IkeOwner = {
      judge(chain) {
        const { leaf, intermediates } = parseChain(chain)
        verifyChain(leaf, intermediates, { anchors: [root], now: systemClock.wall(), purposes: [purposes.serverAuth] })
        return leaf
      },
      preSharedKey: () => (credential.kind === 'psk' ? credential.secret : undefined),
      ppk: () => undefined,
      admit: () => ({ peerKey: gatewayKey, name: 'gateway', child, virtualAddresses: [], dns: [] }),
    }
    this.endpoint = new EspEndpoint({
      suite: nativeSuite,
      ports: {
        ...this.overheard(ports),
        configured: (_, configuration) => {
          this.configuration = configuration
          if (!options.addresses) this.#settleAt(this.addresses)
        },
      },
      ike: {
        owner,
        localIds: [parseId(id)],
        credential,
        authorities: [caKeyHash(root, nativeSuite)],
        proposals: ike ? parseProposals(ike, ProtocolId.Ike) : defaultIkeProposals,
        ticketKeys: [],
        settings: { ...defaultIkeSettings, ...settings },
        wall: () => systemClock.wall(),
      },
      onFailure: (failure) => this.failures.push(failure),
    })
    return this.endpoint
  }

  /** What the endpoint speaks through; for who wants to listen to it. */
  protected overheard(ports: EspPorts): EspPorts {
    return ports
  }

  #settleAt(addresses: readonly string[]): void {
    this.netstack.setAddresses(addresses)
    this.engine.plane.setLocal(addresses)
  }
}

function childPolicy({ local, remote, esp, lifetime }: CallerOptions): ChildPolicy {
  const selector = (cidr: string) => fromCidr(parseCidr(cidr))
  return {
    proposals: esp ? parseProposals(esp, ProtocolId.Esp) : defaultEspProposals,
    localSelectors: local.map(selector),
    remoteSelectors: remote.map(selector),
    lifetime: { ...defaultChildLifetime, ...lifetime },
  }
}
