import { generateKeyPairSync } from 'node:crypto'
import type { Principal } from '#broker/registry/principal.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { type Credential, certificateCredential } from '#shared/ikev2/authentication.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { milliseconds } from '#shared/time/instant.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { classify } from '#shared/wire/demux.ts'
import type { BrokerFixture } from '#test/broker/broker-fixture.ts'
import { type CallerOptions, IpsecCaller } from '#test/lab/ipsec-caller.ts'

export interface IpsecPeerOptions
  extends Pick<CallerOptions, 'credential' | 'id' | 'ike' | 'esp'>,
    Partial<Pick<CallerOptions, 'gateway'>> {
  /** Of its hosts; of its inner end where it is a road warrior. */
  addresses: readonly string[]
  /** What it asks to send from, and to: its addresses, and the fleet's. */
  local?: readonly string[]
  remote?: readonly string[]
}

/** A peer of a broker in the same process, with hosts behind it, as a stock road warrior or router is. */
export class IpsecPeer extends IpsecCaller {
  readonly redirects: string[] = []
  /** The IKE messages that it has sent, each behind its marker. */
  readonly sent: Uint8Array[] = []

  static async dial({ authority, broker, registry }: BrokerFixture, options: IpsecPeerOptions): Promise<IpsecPeer> {
    const peer = new IpsecPeer()
    await peer.open({
      bind: '127.0.0.1',
      gateway: { address: '127.0.0.1', port: Number(broker.ready.listen.split(':').at(-1)) },
      gatewayId: authority.ike.id,
      root: parseCertificate(authority.rootDer),
      local: options.addresses,
      remote: registry.fleet.routes,
      settings: { retryBase: milliseconds(200), patience: undefined },
      ...options,
    })
    return peer
  }

  /** ExchangeType of each IKE message that it has sent. */
  get exchanges(): number[] {
    return this.sent.map((datagram) => datagram[22]!)
  }

  override up(): Promise<void> {
    return super.up(10_000)
  }

  /** Whether an echo request is answered in time. */
  async reaches(address: string, timeoutMs = 2_000): Promise<boolean> {
    return (await this.netstack.ping(address, { timeoutMs })) !== undefined
  }

  protected override overheard(ports: EspPorts): EspPorts {
    return {
      ...ports,
      transmit: (datagram, to, association) => {
        if (classify(datagram) === 'ike') this.sent.push(datagram.slice())
        ports.transmit(datagram, to, association)
      },
      redirected: (_, to) => this.redirects.push(to),
    }
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
