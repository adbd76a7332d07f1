/** The esp suite as a town or a bench speaks it: one pre-shared key for all, and whoever knows it is whom it says. */
import type { Suite } from '#shared/crypto/suite.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import { defaultIkeSettings } from '#shared/ikev2/ike-context.ts'
import type { ChildPolicy, Lifetime } from '#shared/ikev2/peer-policy.ts'
import { parseProposals } from '#shared/ikev2/proposal.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'

export const HUB_ID = 'hub.example'
export const HUB_KEY = 'a'.repeat(64)
const secret = new TextEncoder().encode('a secret of the town')

export function childPolicy(local: readonly string[], remote: readonly string[], lifetime: Partial<Lifetime> = {}): ChildPolicy {
  const selector = (text: string) => fromCidr(parseCidr(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`))
  return {
    proposals: parseProposals(['aes256gcm16-x25519-esn-noesn'], ProtocolId.Esp),
    localSelectors: local.map(selector),
    remoteSelectors: remote.map(selector),
    lifetime: { ...defaultChildLifetime, ...lifetime },
  }
}

export interface Admitted {
  readonly peerKey: string
  readonly name: string
  readonly child: ChildPolicy
  readonly virtualAddresses: []
  readonly dns: []
}

export function espEndpoint(
  suite: Suite,
  id: string,
  ports: EspPorts,
  lane: DataLane | undefined,
  admit: (id: string) => Admitted,
): EspEndpoint {
  return new EspEndpoint({
    suite,
    ports,
    lane,
    ike: {
      owner: {
        judge: () => {
          throw new Error('nobody shows a certificate here')
        },
        preSharedKey: () => secret,
        ppk: () => undefined,
        admit: (claim) => admit(new TextDecoder().decode(claim.id.data)),
      },
      localIds: [parseId(id)],
      credential: { kind: 'psk', secret },
      authorities: [],
      proposals: parseProposals(['aes256gcm16-prfsha256-x25519'], ProtocolId.Ike),
      ticketKeys: [],
      settings: defaultIkeSettings,
      wall: () => systemClock.wall(),
    },
    onFailure: (failure) => {
      throw new Error(JSON.stringify(failure))
    },
  })
}
