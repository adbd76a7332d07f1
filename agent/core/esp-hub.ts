import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { certificateCredential } from '#shared/ikev2/authentication.ts'
import { caKeyHash } from '#shared/ikev2/cert-request.ts'
import { idsOfCertificate } from '#shared/ikev2/certificate-id.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import { defaultIkeSettings, type IkeSettings } from '#shared/ikev2/ike-context.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import { agentWords } from '#shared/ikev2/own-words.ts'
import type { ChildPolicy, IkeOwner, PeerGrant, Refusal } from '#shared/ikev2/peer-policy.ts'
import { defaultEspProposals, defaultIkeProposals } from '#shared/ikev2/proposal.ts'
import type { SigningKey } from '#shared/ikev2/signing-key.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { parseChain } from '#shared/pki/chain.ts'
import { serverPath } from '#shared/pki/server-trust.ts'
import { type Instant, seconds, type WallTime } from '#shared/time/instant.ts'
import type { Association, Endpoint, EndpointPorts } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspEndpointOptions } from '#shared/tunnel/esp-options.ts'
import type { TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'
import type { AgentConfig } from './agent-config.ts'
import type { BrokerMemory, EstablishedEvent, Hub } from './hub.ts'

/** Who an agent is in the esp suite, and whose word it takes for the broker. */
export interface IkeIdentity {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[]
  readonly key: SigningKey
  /** The fleet's roots that are trusted: one, but while another follows it. */
  readonly roots: readonly Certificate[]
  /** 32 bytes: the name of the fleet, whichever its roots are. */
  readonly fleet: Uint8Array
}

export interface EspHubOptions {
  readonly suite: Suite
  readonly ports: EndpointPorts
  readonly identity: IkeIdentity
  /** The time by which certificates are judged: never below the floor (DESIGN D5). */
  time(): WallTime
  onFailure(failure: NegotiationFailure): void
  readonly lane?: DataLane | undefined
}

/**
 * A broker that answers nothing for so long has lost the IKE SA, or its keys: the next one is begun, with the ticket of the last, and
 * never given up. Shorter outages cost nothing.
 */
const settings: IkeSettings = { ...defaultIkeSettings, patience: seconds(20) }

/**
 * Bytes that ESP adds, for the widest transform that is proposed: SPI and number, a 16-byte IV, a 32-byte ICV; blocks of 16 with a
 * trailer of 2 (RFC 4303 §2).
 */
const ESP_FRAME = 8 + 16 + 32
const ESP_BLOCK = 16
const ESP_TRAILER = 2

/** The broker over the esp suite: IKEv2 under the certificate that enrolment gave, ESP in UDP. */
export class EspHub implements Hub {
  readonly endpoint: EspEndpoint
  /** IKE and Child SAs live on in silence, and are renewed by their own lifetimes: one that ends is a loss. */
  readonly lapses = false
  readonly #options: EspHubOptions
  #identity: IkeIdentity
  #brokerKey = ''
  #child: ChildPolicy | undefined

  constructor(options: EspHubOptions) {
    this.#options = options
    this.#identity = options.identity
    const { suite, ports, onFailure, lane } = options
    this.endpoint = new EspEndpoint({ suite, ports, ike: this.#ike(), onFailure, lane })
  }

  /** The certificate was renewed. What is established goes on. */
  setIdentity(identity: IkeIdentity): void {
    this.#identity = identity
    this.endpoint.setIke(this.#ike())
  }

  brokerKey({ broker }: AgentConfig): string {
    const { suite } = this.#options
    return toHex(suite.hash('sha256', this.#identity.fleet, Buffer.from(broker.ike?.id ?? '', 'utf8')))
  }

  join(config: AgentConfig, endpoint: Endpoint | undefined, now: Instant): Association {
    const { ike } = config.broker
    this.#brokerKey = this.brokerKey(config)
    this.#child = childPolicy(config)
    const initiation = { expectedId: ike && parseId(ike.id), child: this.#child }
    return this.endpoint.addPeer({ peerKey: this.#brokerKey, endpoint, initiation, firstContact: true }, now)
  }

  /** An IKE SA that is not a rekeyed one follows on one that was lost. */
  memory({ rekey }: EstablishedEvent): BrokerMemory {
    return rekey ? 'kept' : 'doubtful'
  }

  innerRoom(bytes: number): number {
    return Math.floor((bytes - ESP_FRAME) / ESP_BLOCK) * ESP_BLOCK - ESP_TRAILER
  }

  outerLength(bytes: number): number {
    return ESP_FRAME + Math.ceil((bytes + ESP_TRAILER) / ESP_BLOCK) * ESP_BLOCK
  }

  #ike(): EspEndpointOptions['ike'] {
    const { suite, time } = this.#options
    const { chain, key, roots } = this.#identity
    const credential = certificateCredential(chain, key, suite)
    const [ourId] = idsOfCertificate(credential.certificate)
    if (ourId === undefined) throw new TypeError('our certificate names nobody')
    return {
      owner: this.#owner,
      localIds: [ourId],
      credential,
      authorities: roots.map((root) => caKeyHash(root, suite)),
      proposals: defaultIkeProposals,
      words: agentWords,
      ticketKeys: [],
      settings,
      wall: time,
    }
  }

  readonly #owner: IkeOwner = {
    judge: (chain) => {
      const { leaf, intermediates } = parseChain(chain)
      serverPath(leaf, intermediates, this.#identity.roots, this.#options.time())
      return leaf
    },
    preSharedKey: () => undefined,
    ppk: () => undefined,
    admit: (): PeerGrant | Refusal => {
      if (this.#child === undefined) return { refused: 'nobody was asked for', mendHere: '', mendThere: '' }
      return { peerKey: this.#brokerKey, name: 'broker', child: this.#child, virtualAddresses: [], dns: [] }
    },
  }
}

/** Our inner addresses on this side; on the other what is reached through the broker, itself among it. */
function childPolicy({ inner, routes, broker }: AgentConfig): ChildPolicy {
  return {
    proposals: defaultEspProposals,
    localSelectors: inner.addresses.map(selector),
    remoteSelectors: [...new Set([...routes, ...broker.inner])].map(selector),
    lifetime: defaultChildLifetime,
  }
}

const selector = (cidr: string): TrafficSelector => fromCidr(parseCidr(cidr))
