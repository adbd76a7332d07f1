/** A peer of the esp suite for tests: a real endpoint on a real UDP socket with hosts behind it, as a stock road warrior or router is. */

import { generateKeyPairSync } from 'node:crypto'
import type { Principal } from '#broker/registry/principal.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { FlowFilter, forever } from '#shared/dataplane/flow-filter.ts'
import { type Credential, certificateCredential } from '#shared/ikev2/authentication.ts'
import { caKeyHash } from '#shared/ikev2/cert-request.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import { defaultIkeSettings } from '#shared/ikev2/ike-context.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { ChildPolicy, IkeOwner } from '#shared/ikev2/peer-policy.ts'
import { defaultEspProposals, defaultIkeProposals, parseProposals } from '#shared/ikev2/proposal.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { parseChain, verifyChain } from '#shared/pki/chain.ts'
import { purposes } from '#shared/pki/oids.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { PortableEngine } from '#shared/platform/portable-engine.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { TunnelEvent } from '#shared/tunnel/association.ts'
import type { EspAssociation } from '#shared/tunnel/esp-association.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { Configuration, EspPorts } from '#shared/tunnel/esp-options.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { classify } from '#shared/wire/demux.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'
import { type BrokerFixture, eventually } from '#test/broker/broker-fixture.ts'

export interface IpsecPeerOptions {
  credential: Credential
  /** As which it proves itself. */
  id: string
  /** Of its hosts; of its inner end where it is a road warrior. */
  addresses: readonly string[]
  /** What it asks to send from, and to: its addresses, and the fleet's. */
  local?: readonly string[]
  remote?: readonly string[]
  ike?: readonly string[]
  esp?: readonly string[]
  /** As which the broker has to prove itself. */
  brokerId?: string
}

const brokerKey = 'b'.repeat(64)

export class IpsecPeer {
  readonly events: TunnelEvent[] = []
  readonly failures: NegotiationFailure[] = []
  readonly redirects: string[] = []
  /** The IKE messages that it has sent, each behind its marker. */
  readonly sent: Uint8Array[] = []
  configuration: Configuration | undefined
  association!: EspAssociation
  endpoint!: EspEndpoint
  engine!: PortableEngine
  netstack!: Netstack

  static async start(fixture: BrokerFixture, options: IpsecPeerOptions): Promise<IpsecPeer> {
    const peer = new IpsecPeer()
    peer.engine = await PortableEngine.open({
      clock: systemClock,
      timers: systemTimers,
      bind: { address: '127.0.0.1', port: 0 },
      filter: new FlowFilter({ permit: () => forever }, 1),
      event: (event) => peer.events.push(event),
      noise: (ports) => new WireguardEndpoint({ ...noiseParts, ports }),
      esp: (ports) => peer.#listen(fixture, options, ports),
      ports: { deliver: (packet) => peer.netstack.input(packet) },
    })
    peer.netstack = new Netstack({
      suite: nativeSuite,
      clock: systemClock,
      addresses: options.addresses,
      transmit: (packet) => peer.engine.send(packet),
      wake: (at) => peer.engine.driver.wake(at),
    })
    peer.engine.drive(peer.netstack)
    peer.engine.plane.setLocal(options.addresses)
    peer.#join(fixture, options)
    return peer
  }

  get isUp(): boolean {
    return this.association.state === 'established'
  }

  /** ExchangeType of each IKE message that it has sent. */
  get exchanges(): number[] {
    return this.sent.map((datagram) => datagram[22]!)
  }

  up(): Promise<void> {
    return eventually(() => this.isUp, 10_000, 'the tunnel')
  }

  async pings(address: string, timeoutMs = 2_000): Promise<boolean> {
    return (await this.netstack.ping(address, { timeoutMs })) !== undefined
  }

  async stop(): Promise<void> {
    this.netstack.destroy()
    await this.engine.close()
  }

  #listen(fixture: BrokerFixture, options: IpsecPeerOptions, ports: EspPorts): EspEndpoint {
    const root = parseCertificate(fixture.authority.rootDer)
    const child = childPolicy(fixture, options)
    const owner: IkeOwner = {
      judge(chain) {
        const { leaf, intermediates } = parseChain(chain)
        verifyChain(leaf, intermediates, { anchors: [root], now: systemClock.wall(), purposes: [purposes.serverAuth] })
        return leaf
      },
      preSharedKey: () => (options.credential.kind === 'psk' ? options.credential.secret : undefined),
      ppk: () => undefined,
      admit: () => ({ peerKey: brokerKey, name: 'broker', child, virtualAddresses: [], dns: [] }),
    }
    this.endpoint = new EspEndpoint({
      suite: nativeSuite,
      ports: {
        ...ports,
        transmit: (datagram, to, association) => {
          if (classify(datagram) === 'ike') this.sent.push(datagram.slice())
          ports.transmit(datagram, to, association)
        },
        configured: (_, configuration) => {
          this.configuration = configuration
        },
        redirected: (_, to) => this.redirects.push(to),
      },
      ike: {
        owner,
        localIds: [parseId(options.id)],
        credential: options.credential,
        authorities: [caKeyHash(root, nativeSuite)],
        proposals: options.ike ? parseProposals(options.ike, ProtocolId.Ike) : defaultIkeProposals,
        ticketKeys: [],
        settings: { ...defaultIkeSettings, retryBase: 200 as never, patience: undefined },
        wall: () => systemClock.wall(),
      },
      onFailure: (failure) => this.failures.push(failure),
    })
    return this.endpoint
  }

  #join(fixture: BrokerFixture, options: IpsecPeerOptions): void {
    const port = Number(fixture.broker.ready.listen.split(':').at(-1))
    const child = childPolicy(fixture, options)
    const initiation = {
      expectedId: parseId(options.brokerId ?? fixture.authority.ike.id),
      child,
      request: { ip4: true, ip6: true, dns: true },
    }
    this.association = this.endpoint.addPeer(
      { peerKey: brokerKey, endpoint: { address: '127.0.0.1', port }, initiation, firstContact: true },
      systemClock.now(),
    )
    for (const prefix of options.remote ?? fixture.registry.fleet.routes)
      this.engine.plane.routes.insert(prefix, this.association)
    this.engine.kick()
  }
}

/** A stock peer of the registry with a certificate of the fleet's, over a new key. */
export async function enlistIpsec(
  fixture: BrokerFixture,
  name: string,
  more: { subnets?: string[]; ikeProposals?: string[]; espProposals?: string[] } = {},
): Promise<{ principal: Principal; credential: Credential }> {
  const { credential, issued } = await certify(fixture, name)
  const principal = await fixture.registry.ipsecPeers.add({ name, proof: { certificate: issued }, ...more })
  return { principal, credential }
}

export async function certify(fixture: BrokerFixture, name: string, days = 30) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const issued = await fixture.authority.issue({ role: 'device', name, spki, ipsec: true, days })
  const [issuer] = fixture.authority.chainOf('device')
  const key = privateKey.export({ type: 'pkcs8', format: 'der' })
  return { issued, credential: certificateCredential([issued.der, issuer!], key, nativeSuite) }
}

function childPolicy({ registry }: BrokerFixture, options: IpsecPeerOptions): ChildPolicy {
  const selector = (cidr: string) => fromCidr(parseCidr(cidr))
  return {
    proposals: options.esp ? parseProposals(options.esp, ProtocolId.Esp) : defaultEspProposals,
    localSelectors: (options.local ?? options.addresses).map(selector),
    remoteSelectors: (options.remote ?? registry.fleet.routes).map(selector),
    lifetime: defaultChildLifetime,
  }
}

const noiseParts = {
  suite: nativeSuite,
  staticKey: nativeSuite.x25519.generate(),
  nextTimestamp: () => new Uint8Array(12),
}
