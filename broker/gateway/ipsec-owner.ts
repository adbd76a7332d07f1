import type { ChildPolicies } from '#broker/gateway/child-policies.ts'
import type { AuthorityFace, Peer } from '#broker/identity/authority.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { idText } from '#shared/ikev2/identity.ts'
import type { AuthenticatedPeer, ChildPolicy, IkeOwner, PeerGrant, Refusal } from '#shared/ikev2/peer-policy.ts'
import { formatProposal, parseProposals } from '#shared/ikev2/proposal.ts'
import { selectProposal } from '#shared/ikev2/select-proposal.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import type { Clock } from '#shared/time/instant.ts'
import { IdType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { IkeId, Proposal } from '#shared/wire/ike-payload/payload.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'

export interface IpsecOwnerOptions {
  registry: Pick<Registry, 'directory' | 'certificates' | 'peerSecrets'>
  authority: Pick<AuthorityFace, 'judgeIkePeer' | 'judgedIkePeer'>
  policies: ChildPolicies
  /** For peers whose entry names none. */
  ikeProposals: readonly Proposal[]
  clock: Clock
  /** Name servers that peers are told of: 4 or 16 bytes each. */
  dns: readonly Uint8Array[]
}

/**
 * Who is let in by IKE, and to what: the registry's and the authority's answers, as `shared/ikev2` asks for them. An agent comes with the
 * certificate that it enrolled, a stock peer with the one that it was given, or with a pre-shared key where its entry has one.
 */
export class IpsecOwner implements IkeOwner {
  readonly #options: IpsecOwnerOptions
  /** What was found when a chain was judged, for as long as its leaf is held. */
  readonly #judged = new WeakMap<Certificate, Peer>()
  /** The certificate by which each peer came last, by the hash of its key. */
  readonly #admitted = new Map<string, Peer>()

  constructor(options: IpsecOwnerOptions) {
    this.#options = options
  }

  judge(chain: readonly Uint8Array[]): Certificate {
    const { certificate, peer } = this.#options.authority.judgeIkePeer(chain)
    this.#judged.set(certificate, peer)
    return certificate
  }

  /** Of one whose registration is over too: `admit` has the words for that. */
  preSharedKey(id: IkeId): Uint8Array | undefined {
    const { directory, peerSecrets } = this.#options.registry
    const principal = directory.byIkeIdentity(idText(id))
    return principal && peerSecrets.pskOf(principal.id)
  }

  /** By the name that the peer gives it, or by the peer that has to use one. */
  ppk(id: IkeId): { key: Uint8Array; mandatory: boolean } | undefined {
    const { directory, peerSecrets } = this.#options.registry
    const owner = id.type === IdType.KeyId ? peerSecrets.ownerOfPpk(utf8(id)) : directory.claimant(idText(id))?.id
    const found = owner === undefined ? undefined : peerSecrets.ppkOf(owner)
    return found && { key: found.key, mandatory: true }
  }

  admit(peer: AuthenticatedPeer, chosen: Proposal): PeerGrant | Refusal {
    const principal = peer.proof.kind === 'psk' ? this.#bySharedKey(peer) : this.#byCertificate(peer.proof)
    if ('refused' in principal) return principal
    const { directory } = this.#options.registry
    const told = `${principal.kind} ${principal.name}`
    if (principal.revokedAt !== undefined) return refusal(`${told} is revoked`, again(principal), askForNew)
    if (!directory.isAdmitted(principal, this.#options.clock.wall()))
      return refusal(`the registration of ${told} is over`, again(principal), askForNew)
    const own = principal.ipsec?.ikeProposals ?? []
    const allowed = own.length > 0 ? parseProposals(own, ProtocolId.Ike) : this.#options.ikeProposals
    if ('mismatch' in selectProposal([chosen], allowed, ProtocolId.Ike)) {
      const may = allowed.map(formatProposal).join(', ')
      const mend = `adit-broker device add --ipsec --name ${principal.name} --suite ${formatProposal(chosen)} --out FOLDER, once it is revoked`
      return refusal(`${formatProposal(chosen)} is not among what ${told} may use`, mend, `proposals = ${may}`)
    }
    return this.#grant(principal, peer)
  }

  #bySharedKey({ id }: AuthenticatedPeer): Principal | Refusal {
    const principal = this.#options.registry.directory.byIkeIdentity(idText(id))
    if (principal?.ipsec?.pskKey !== undefined) return principal
    return refusal(
      `no peer claims ${idText(id)}`,
      'adit-broker device add --ipsec --name NAME --psk generate --out FOLDER',
      'local { id = NAME }',
    )
  }

  #byCertificate({ certificate, spkiSha256 }: { certificate: Certificate; spkiSha256: string }): Principal | Refusal {
    const { directory, certificates } = this.#options.registry
    // A resumed session is with a certificate that was judged when its ticket was sealed.
    const peer = this.#judged.get(certificate) ?? this.#options.authority.judgedIkePeer(certificate)
    if (peer === undefined) return refusal('its certificate has expired, or is by an issuer of before', 'nothing', askForNew)
    const principal = directory.bySpki(spkiSha256)
    if (principal === undefined)
      return refusal(`no peer has the key of this certificate (${peer.role} ${peer.name})`, register, askForNew)
    if (principal.kind !== peer.role || principal.name !== peer.name) {
      const told = `the certificate says ${peer.role} ${peer.name}, the registry ${principal.kind} ${principal.name}`
      return refusal(told, `adit-broker ${principal.kind} revoke ${principal.name}`, askForNew)
    }
    if (certificates.isRevoked(peer) && principal.revokedAt === undefined)
      return refusal(`this certificate of ${peer.name} (serial ${peer.serialHex}) is revoked`, again(principal), askForNew)
    this.#admitted.set(spkiSha256, peer)
    return principal
  }

  /** Whether the certificate by which the peer came last has been revoked since. */
  isRevoked(spkiSha256: string): boolean {
    const peer = this.#admitted.get(spkiSha256)
    return peer !== undefined && this.#options.registry.certificates.isRevoked(peer)
  }

  #grant(principal: Principal, { proof }: AuthenticatedPeer): PeerGrant {
    const { policies, registry, dns } = this.#options
    const peerKey = proof.kind === 'certificate' ? proof.spkiSha256 : (principal.ipsec?.pskKey ?? '')
    return {
      peerKey,
      name: principal.name,
      // Asked again at each negotiation: grants and subnets may have changed since.
      get child(): ChildPolicy {
        return policies.of(registry.directory.byId(principal.id) ?? principal)
      },
      virtualAddresses: principal.addresses.map(parseAddress),
      dns,
    }
  }
}

const register = 'adit-broker device add --ipsec --name NAME --csr FILE --out FOLDER'
const askForNew = 'Use the key and certificate that the administrator of the broker gives: local { certs = … }'
const again = ({ kind, name, stock }: Principal): string =>
  stock ? `adit-broker device add --ipsec --name ${name} --out FOLDER` : `adit-broker claim create --role ${kind} --name ${name}`

const utf8 = ({ data }: IkeId): string => Buffer.from(data).toString('utf8')

const refusal = (refused: string, mendHere: string, mendThere: string): Refusal => ({ refused, mendHere, mendThere })
