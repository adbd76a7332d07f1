import { ChildPolicies } from '#broker/gateway/child-policies.ts'
import { IpsecOwner } from '#broker/gateway/ipsec-owner.ts'
import { Reawakening } from '#broker/gateway/reawakening.ts'
import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { IkeIdentity } from '#broker/identity/ike-identity.ts'
import type { TicketKeys } from '#broker/identity/ticket-keys.ts'
import type { EndpointRecord } from '#broker/registry/presence.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type CertificateCredential, certificateCredential } from '#shared/ikev2/authentication.ts'
import { defaultIkeSettings, type IkeSettings } from '#shared/ikev2/ike-context.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import { formatProposal, parseProposals } from '#shared/ikev2/proposal.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Clock, minutes, seconds } from '#shared/time/instant.ts'
import type { Association, Endpoint } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import type { EspAssociation } from '#shared/tunnel/esp-association.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspEndpointOptions, EspPorts } from '#shared/tunnel/esp-options.ts'
import { endpointText, isCarried } from '#shared/wire/endpoint.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'

export interface IpsecSettings {
  /** Where bare IKE is taken too; undefined: nowhere. */
  readonly port500: { address?: string; port: number } | undefined
  /** In order of preference, for peers whose entry names none. */
  readonly ikeProposals: readonly Proposal[]
  readonly espProposals: readonly Proposal[]
  /** Name servers that peers are told of: 4 or 16 bytes each. */
  readonly dns: readonly Uint8Array[]
  /** Where peers are sent when the broker stops. */
  readonly redirectTo: string | undefined
}

type IkeParts = 'ike' | 'authorities' | 'judgeIkePeer' | 'judgedIkePeer' | 'refreshIkeCertificate' | 'openTicketKeys'

export interface IpsecOptions {
  registry: Pick<Registry, 'directory' | 'fleet' | 'certificates' | 'peerSecrets' | 'negotiations'>
  authority: Pick<AuthorityFace, IkeParts>
  settings: IpsecSettings
  /** The address of whoever stands behind a carried endpoint. */
  seenAt?(endpoint: Endpoint): Endpoint
  suite: Suite
  clock: Clock
  timers: Timers
  log: Log
}

/**
 * A peer that has been silent for a while is asked whether it lives, so that presence keeps its evidence; our own agents speak each minute
 * and are not asked. It is given half an hour to be heard again: a stock peer that does not ask by itself would else talk into the void until
 * its next rekey.
 */
const ikeSettings: IkeSettings = { ...defaultIkeSettings, livenessTime: seconds(75), patience: minutes(30) }

/** The broker's esp suite: the endpoint, and what it is told of us as certificates, keys of tickets and peers' own suites change. */
export class Ipsec {
  /** Negotiations that came to nothing. */
  failures = 0
  readonly #options: IpsecOptions
  readonly #tickets: TicketKeys
  readonly #policies: ChildPolicies
  readonly #owner: IpsecOwner
  /** `ChildPolicies.sites` as each association knows it. */
  readonly #sites = new WeakMap<EspAssociation, string>()
  #renegotiation: Reawakening<EspAssociation> | undefined
  /** Where peers of this suite were when an earlier run ended. */
  #former: ReadonlySet<string> = new Set()
  #credential: { of: IkeIdentity; made: CertificateCredential } | undefined
  #endpoint: EspEndpoint | undefined

  private constructor(options: IpsecOptions, tickets: TicketKeys) {
    const { registry, authority, settings, clock } = options
    this.#options = options
    this.#tickets = tickets
    const policies = new ChildPolicies({ registry, clock, espProposals: settings.espProposals })
    this.#policies = policies
    const { ikeProposals, dns } = settings
    this.#owner = new IpsecOwner({ registry, authority, policies, clock, ikeProposals, dns })
  }

  static async open(options: IpsecOptions): Promise<Ipsec> {
    return new Ipsec(options, await options.authority.openTicketKeys())
  }

  /** After `listen`. */
  get endpoint(): EspEndpoint {
    return this.#endpoint!
  }

  /** Makes the one endpoint, on the ports of an engine. */
  listen(ports: EspPorts, lane: DataLane | undefined): EspEndpoint {
    const { suite } = this.#options
    const onFailure = (failure: NegotiationFailure): void => this.#failed(failure)
    // Whoever has made a connection is where it ends: he cannot have us answer somebody else.
    const mayHoldFormer = (from: Endpoint): boolean => isCarried(from) || this.#former.has(endpointText(from))
    this.#endpoint = new EspEndpoint({ suite, ports, lane, ike: this.#ike(), onFailure, mayHoldFormer })
    return this.#endpoint
  }

  /** What an earlier run knew. */
  restore(records: readonly EndpointRecord[]): void {
    this.#former = new Set(records.flatMap(({ suite, endpoint }) => (suite === 'esp' ? [endpoint] : [])))
  }

  /** Renews the certificate and the keys of tickets where it is time; every hour is often enough. */
  async refresh(): Promise<void> {
    const { authority, log } = this.#options
    try {
      const renewed = await authority.refreshIkeCertificate()
      const rotated = await this.#tickets.rotate()
      if (renewed || rotated) this.reload()
    } catch (error) {
      log.error({ error }, 'the certificate of IKE or the keys of session tickets could not be renewed')
    }
  }

  /** The registry knows another peer with suites of its own, or we prove ourselves by something new. What is established goes on. */
  reload(): void {
    this.#endpoint?.setIke(this.#ike())
  }

  /** An association has a Child SA, new or renewed. */
  established({ peerKey }: Association): void {
    const association = this.endpoint.association(peerKey)
    if (association && !this.#sites.has(association)) this.#sites.set(association, this.#policies.sites)
  }

  /** Whether the certificate by which the association came has been revoked since, its peer or not. */
  isRevoked({ peerKey, suite }: Association): boolean {
    return suite === 'esp' && this.#owner.isRevoked(peerKey)
  }

  /** Whether an association that has lapsed was ended: in this suite nothing lapses by mere idleness. */
  hasLeft({ peerKey, suite }: Association): boolean {
    return suite === 'esp' && this.endpoint.association(peerKey)?.ike === undefined
  }

  /** Sends peers that can be sent to the gateway that the configuration names, before this one stops. */
  redirect(): void {
    const { settings, clock } = this.#options
    if (settings.redirectTo === undefined) return
    for (const association of this.endpoint.associations()) association.redirect(settings.redirectTo, clock.now())
  }

  /**
   * Sites may have come or gone: stock peers, whose Child SAs can now carry other traffic, agree on them anew, at a steady pace. Agents reach
   * the fleet's own addresses alone, which do not change.
   */
  renegotiate(): void {
    const { registry, clock, timers } = this.#options
    const { sites } = this.#policies
    const stock = [...this.endpoint.associations()].filter(({ peerKey }) => registry.directory.byPeerKey(peerKey)?.stock)
    this.#renegotiation?.stop()
    this.#renegotiation = new Reawakening(stock, { clock, timers }, (association) => {
      const known = this.#sites.get(association)
      if (known === undefined || known === sites) return false
      this.#sites.set(association, sites)
      association.renegotiate(clock.now())
      return true
    })
  }

  stop(): void {
    this.#renegotiation?.stop()
  }

  #ike(): EspEndpointOptions['ike'] {
    const { authority, clock } = this.#options
    return {
      owner: this.#owner,
      localIds: authority.ike.ids,
      credential: this.#credentialNow(),
      authorities: authority.authorities,
      proposals: this.#proposals(),
      ticketKeys: this.#tickets.keys,
      settings: ikeSettings,
      wall: () => clock.wall(),
    }
  }

  #credentialNow(): CertificateCredential {
    const { authority, suite } = this.#options
    const { ike } = authority
    if (this.#credential?.of !== ike) {
      this.#credential = { of: ike, made: certificateCredential(ike.chain, ike.privateKey, suite) }
    }
    return this.#credential.made
  }

  /** Who asks is not known when the IKE SA's proposal is chosen: what one peer's entry allows has to be among what all may begin with. */
  #proposals(): Proposal[] {
    const { settings, registry } = this.#options
    const all = new Map(settings.ikeProposals.map((proposal) => [formatProposal(proposal), proposal]))
    // Many peers name the same few.
    const texts = new Set<string>()
    for (const { ipsec, revokedAt } of registry.directory.all()) {
      if (revokedAt === undefined) for (const text of ipsec?.ikeProposals ?? []) texts.add(text)
    }
    for (const proposal of parseProposals([...texts], ProtocolId.Ike)) all.set(formatProposal(proposal), proposal)
    return [...all.values()]
  }

  #failed(said: NegotiationFailure): void {
    const { registry, log, seenAt } = this.#options
    const failure = said.from && seenAt ? { ...said, from: seenAt(said.from) } : said
    const { stage, code, claimedId, message } = failure
    this.failures++
    log.debug({ stage, code, claimedId, message }, 'a negotiation of IKE came to nothing')
    registry.negotiations.record(failure)
  }
}
