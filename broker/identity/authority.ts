import { isDeepStrictEqual } from 'node:util'
import { rootStem } from '#broker/identity/ca-certificates.ts'
import {
  type CaFiles,
  CaFolder,
  createCaFiles,
  type OwnKeys,
  readOrMakeOwnKeys,
  ticketKeysPath,
} from '#broker/identity/ca-files.ts'
import { CaRotation } from '#broker/identity/ca-rotation.ts'
import { CaStanding } from '#broker/identity/ca-standing.ts'
import type { IkeIdentity } from '#broker/identity/ike-identity.ts'
import { Issuance, type IssuedCertificate, type IssueRequest } from '#broker/identity/issuance.ts'
import { judgedIkePeer, judgeIkePeer, judgePeer, type Peer, type PeerTrust } from '#broker/identity/peer-certificate.ts'
import { type FallenCa, fallenCas } from '#broker/identity/root-list.ts'
import { ServerIdentities } from '#broker/identity/server-identities.ts'
import type { Succession } from '#broker/identity/succession.ts'
import { TicketKeys } from '#broker/identity/ticket-keys.ts'
import { TrustedIssuers } from '#broker/identity/trusted-issuers.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Delegation } from '#shared/enrolment/delegation.ts'
import { AditError } from '#shared/errors.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import type { RevocationList } from '#shared/pki/crl-reader.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { KnownCertificates } from '#shared/pki/known-certificates.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { PeerRole, Role } from '#shared/pki/roles.ts'
import { type FilePort, makePrivateDirectory, nodeFiles } from '#shared/platform/files.ts'
import type { Clock, WallTime } from '#shared/time/instant.ts'
import { TimeFloor } from '#shared/time/time-floor.ts'

export type { Peer } from '#broker/identity/peer-certificate.ts'

export interface AuthorityPorts {
  suite: Suite
  clock: Clock
  files?: FilePort
}

export interface AuthorityOptions {
  /**
   * Host names and literal IP addresses that the API certificate is for; `localhost`, 127.0.0.1 and ::1 are always added. Left out (by
   * commands that only need the authority), a certificate that is there stays as it is.
   */
  apiNames?: readonly string[]
  /** Likewise of the certificate of the broker's IKE; those of the API where left out. */
  ikeNames?: readonly string[]
  /** The host name or literal address by which the broker is to be known to IKE peers, where the configuration says one. */
  ikeId?: string | undefined
  /** `http://HOST[:PORT]` under which outsiders find lists of revoked certificates and OCSP; left out: certificates name no place. */
  pkiUrl?: string | undefined
}

/** An issuing CA of which outsiders may ask, and the name under which its list is found: `device`. */
export interface OutsiderCa {
  readonly label: string
  readonly ca: Ca
}

/** A root, and what it has said of issuing CAs that nobody is to believe. */
export interface RootListing {
  /** `root`, `root-1a2b3c4d`. */
  readonly label: string
  readonly root: Certificate
  readonly list: RevocationList | undefined
  /** What the list is to say. */
  readonly fallen: readonly FallenCa[]
}

/** With what an authority begins. */
interface Opened {
  readonly dataDir: string
  readonly folder: CaFolder
  readonly files: CaFiles
  readonly own: OwnKeys
  readonly pkiUrl: string | undefined
}

/** The fleet's certificate authority, as the rest of the broker sees it. */
export type AuthorityFace = Pick<
  Authority,
  | 'rootDer'
  | 'rootFingerprint'
  | 'fleetId'
  | 'standing'
  | 'rotation'
  | 'rootKeyHere'
  | 'caOf'
  | 'isSuperseded'
  | 'cacerts'
  | 'onChange'
  | 'tls'
  | 'ike'
  | 'tunnelKey'
  | 'statementKey'
  | 'enrolmentKey'
  | 'issue'
  | 'issueDelegate'
  | 'chainOf'
  | 'verifyPeer'
  | 'judgeIkePeer'
  | 'judgedIkePeer'
  | 'authorities'
  | 'issuers'
  | 'outsiderCas'
  | 'rootLists'
  | 'ocspUrl'
  | 'refreshApiCertificate'
  | 'refreshIkeCertificate'
  | 'openTicketKeys'
>

/** Root, issuing CAs, API certificate and the broker's own keys, all in the data folder (see ca-files.ts). */
export class Authority {
  /** What statements call the fleet, 32 bytes: it never changes (shared/pki/fleet-id.ts). */
  readonly fleetId: Uint8Array
  /** X25519: the broker's WireGuard static key. */
  readonly tunnelKey: KeyPair
  /** Ed25519: signs statements where the administrator has made no fleet key (DESIGN D6). */
  readonly statementKey: KeyPair
  /** X25519: proofs of possession of tunnel keys are made against it. */
  readonly enrolmentKey: KeyPair
  /** By whom peers' certificates may be issued. */
  readonly issuers: TrustedIssuers
  /** Rotates what is here. */
  readonly rotation: CaRotation
  #files: CaFiles
  #standing: CaStanding
  /** The state of succession from which all that follows has been done. */
  #followed: Succession
  readonly #listeners = new Set<() => void>()
  readonly #trust: PeerTrust
  readonly #issuance: Issuance
  readonly #suite: Suite
  readonly #clock: Clock
  readonly #port: FilePort
  readonly #dataDir: string
  /** Certificates are judged no earlier than what we hold ourselves was made (DESIGN D5). */
  readonly #floor: TimeFloor
  #servers: ServerIdentities | undefined

  /** Opens the authority of `dataDir`, making at the first run what is not there. The caller holds the data lock. */
  static async openOrCreate(dataDir: string, ports: AuthorityPorts, options: AuthorityOptions = {}): Promise<Authority> {
    const { suite, files: port = nodeFiles } = ports
    await makePrivateDirectory(dataDir, port)
    const own = await readOrMakeOwnKeys(dataDir, suite, port)
    const pkiUrl = options.pkiUrl?.replace(/\/+$/, '')
    const folder = new CaFolder(dataDir, suite, port)
    const files = (await folder.read()) ?? (await created(folder, dataDir, ports, port, pkiUrl))
    const authority = new Authority({ dataDir, folder, files, own, pkiUrl }, ports, port)
    await authority.rotation.settle()
    await authority.rotation.renewLists()
    await authority.#openServers(options)
    return authority
  }

  private constructor({ dataDir, folder, files, own, pkiUrl }: Opened, { suite, clock }: AuthorityPorts, port: FilePort) {
    this.#dataDir = dataDir
    this.#files = files
    this.#followed = files.succession
    this.#standing = new CaStanding(files)
    this.#floor = new TimeFloor(clock, this.#standing.pinnedRoot.notBefore)
    this.#suite = suite
    this.#clock = clock
    this.#port = port
    this.fleetId = fleetIdOf(this.#standing.pinnedRoot, suite)
    this.tunnelKey = own.tunnel
    this.statementKey = own.statement
    this.enrolmentKey = files.enrolmentKey
    this.issuers = new TrustedIssuers([])
    this.#trust = { issuers: this.issuers, suite, known: new KnownCertificates() }
    this.#issuance = new Issuance({ suite, clock, pkiUrl, standing: () => this.#standing })
    this.rotation = new CaRotation({
      ...{ folder, suite, clock, pkiUrl },
      files: () => this.#files,
      changed: async () => this.#stand(await whole(folder, dataDir)),
    })
    this.#setIssuers()
  }

  /** Who is trusted and who issues, at this moment. */
  get standing(): CaStanding {
    return this.#standing
  }

  /** Whether the root's key lies here. */
  get rootKeyHere(): boolean {
    return this.#files.rootKeyHere
  }

  /** The root that claims pin: DER. */
  get rootDer(): Uint8Array {
    return this.#standing.pinnedRoot.der
  }

  /** SHA-256 of `rootDer`: 32 bytes. */
  get rootFingerprint(): Uint8Array {
    return this.#suite.hash('sha256', this.rootDer)
  }

  /** PEM of the API's key and of its chain: leaf, issuing CA, root, and how former roots lead to it. */
  get tls(): { key: string; cert: string } {
    return this.#own.tls
  }

  /** How the broker proves itself to IKE peers: another object after each re-issue. */
  get ike(): IkeIdentity {
    return this.#own.ike
  }

  /**
   * SHA-1 of the SPKI of the CAs that IKE peers are asked for a certificate of (RFC 7296 §3.7): the root, and what signs devices, since some
   * routers look at a certificate's issuer alone. No more: the answer to strongSwan's first message stays no longer than that, and
   * costs it no cookie.
   */
  get authorities(): readonly Uint8Array[] {
    const { trustedRoots, authorities } = this.#standing
    const devices = authorities.filter(({ role, word }) => role === 'device' && word === 'full').map(({ forms }) => forms[0])
    return [...trustedRoots, ...devices].map(({ spki }) => this.#suite.hash('sha1', spki))
  }

  /** Those with whose keys we say which of their certificates are revoked. */
  get outsiderCas(): readonly OutsiderCa[] {
    return this.#standing.held.map(({ stem, ca }) => ({ label: stem, ca }))
  }

  /** Where certificates send outsiders who ask for their status; undefined: nowhere. */
  get ocspUrl(): string | undefined {
    return this.#issuance.ocspUrl
  }

  /** Every root that was ever trusted: by the name under which outsiders find it, with its list of revoked CAs where there is one. */
  get rootLists(): readonly RootListing[] {
    return this.#standing.knownRoots.map((root) => {
      const label = rootStem(root, this.#suite)
      return { label, root, list: this.#files.lists.get(label), fallen: fallenCas(this.#files, root, this.#suite) }
    })
  }

  /** Throws AditError `name-invalid` or `request-refused`. */
  async issue(request: IssueRequest): Promise<IssuedCertificate> {
    return this.#issuance.issue(request)
  }

  /** The certificate of a station's own CA: DER; of the same subject where it had one. Throws AditError `ca-too-flat` or `request-refused`. */
  issueDelegate(scope: Delegation, spki: Uint8Array, subject?: Uint8Array): Uint8Array {
    return this.#issuance.issueDelegate(scope, spki, subject)
  }

  /** The issuing CA of the role, then the root: DER. */
  chainOf(role: Role): Uint8Array[] {
    return [this.caOf(role).certificate.der, this.#standing.issuingRoot.der]
  }

  /** Who issues for the role. */
  caOf(role: Role): Ca {
    return this.#standing.issuing(role)
  }

  /** Whether another CA issues now than that of a peer's certificate (`issuerHex`), or than the one that a station's hangs of. */
  isSuperseded(issuerHex: string, role: PeerRole): boolean {
    const present = this.#hashHex(this.caOf(role).certificate.spki)
    const issuer = [...this.issuers].find(({ certificate }) => this.#hashHex(certificate.spki) === issuerHex)
    const top = issuer?.above.at(-1) ?? issuer?.certificate
    return top === undefined || this.#hashHex(top.spki) !== present
  }

  /**
   * What a client of EST is to know (RFC 7030 §4.1.2): the root that issues first, the issuing CAs of peers in every form, how one root
   * leads to another, and then the other roots that are trusted (OpenSSL takes the first of two ways upwards). DER.
   */
  cacerts(): Uint8Array[] {
    const { issuingRoot, trustedRoots, links, authorities } = this.#standing
    const peers = authorities.filter(({ role, word }) => role !== 'api' && word === 'full').flatMap(({ forms }) => forms)
    return [...new Set([issuingRoot, ...peers, ...links, ...trustedRoots])].map(({ der }) => der)
  }

  /** Told after who is trusted or who issues has changed. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * `chain`: DER, leaf first, as the peer sent it. Throws AditError `certificate-refused`, whose cause (a PkiError) has the exact
   * reason for the log: strangers are told one sentence only.
   */
  verifyPeer(chain: readonly Uint8Array[], now: WallTime, options: { allowExpiredDays?: number } = {}): Peer {
    try {
      return judgePeer(chain, this.#trust, now, options.allowExpiredDays)
    } catch (error) {
      if (!(error instanceof PkiError)) throw error
      const mend = 'Enrol again with a new claim, or ask the administrator why this certificate is not accepted.'
      throw new AditError('certificate-refused', 'The client certificate is not accepted.', mend, { cause: error })
    }
  }

  /**
   * The chain that an IKE peer sent, at the time floor: of an agent, or of a stock peer with an identity key of any kind that we verify.
   * Throws PkiError, whose reason is for the record of the negotiation alone.
   */
  judgeIkePeer(chain: readonly Uint8Array[]): { certificate: Certificate; peer: Peer } {
    return judgeIkePeer(chain, this.#trust, this.#floor.now())
  }

  /** What such a certificate says that was judged before, if it is still good: without the cost of its signature. */
  judgedIkePeer(certificate: Certificate): Peer | undefined {
    return judgedIkePeer(certificate, this.#trust, this.#floor.now())
  }

  /** Re-issues the API certificate where its names changed or a third of its life is left; true where `tls` changed. */
  refreshApiCertificate(names?: readonly string[]): Promise<boolean> {
    return this.#own.refreshApi(names)
  }

  /** Likewise of the broker's IKE; true where `ike` changed. */
  async refreshIkeCertificate(): Promise<boolean> {
    const changed = await this.#own.refreshIke()
    this.#floor.raise(this.#own.ike.certificate.notBefore)
    return changed
  }

  /** Makes the file at the first time. */
  openTicketKeys(): Promise<TicketKeys> {
    return TicketKeys.open(ticketKeysPath(this.#dataDir), { suite: this.#suite, clock: this.#clock, port: this.#port })
  }

  async #openServers({ apiNames, ikeNames = apiNames, ikeId }: AuthorityOptions): Promise<void> {
    this.#servers = await ServerIdentities.open({
      ca: () => this.caOf('api'),
      tail: () => this.#standing.serverTail,
      suite: this.#suite,
      clock: this.#clock,
      port: this.#port,
      dataDir: this.#dataDir,
      // No host: a peer that expects this subject is not to be troubled by an address that changes.
      ikeSubject: `adit broker ${toHex(this.fleetId.subarray(0, 4))}`,
      ...{ ikeId, apiNames, ikeNames },
    })
    this.#floor.raise(this.#own.ike.certificate.notBefore)
  }

  /**
   * The folder has changed: who is trusted, who issues, and by what the broker proves itself. Where the disk fails in the midst of it the step is
   * written all the same, and what follows from it is done when the step is asked for again.
   */
  async #stand(files: CaFiles): Promise<void> {
    this.#files = files
    if (isDeepStrictEqual(files.succession, this.#followed)) return
    this.#standing = new CaStanding(files)
    this.#setIssuers()
    if (this.#servers !== undefined) {
      await this.refreshApiCertificate()
      await this.refreshIkeCertificate()
    }
    this.#followed = files.succession
    for (const listener of this.#listeners) listener()
  }

  #setIssuers(): void {
    const { trustedRoots, knownRoots, authorities } = this.#standing
    const issuers = authorities.flatMap(({ role, forms, past, word }) => (role === 'api' ? [] : [{ role, forms, past, word }]))
    this.issuers.setOwn({ roots: trustedRoots, formerRoots: knownRoots, issuers })
  }

  get #own(): ServerIdentities {
    if (this.#servers === undefined) throw new RangeError('the authority is not open yet')
    return this.#servers
  }

  #hashHex(bytes: Uint8Array): string {
    return toHex(this.#suite.hash('sha256', bytes))
  }
}

async function created(
  folder: CaFolder,
  dataDir: string,
  { suite, clock }: AuthorityPorts,
  port: FilePort,
  pkiUrl: string | undefined,
): Promise<CaFiles> {
  await createCaFiles(dataDir, { now: clock.wall(), suite, port, pkiUrl })
  return whole(folder, dataDir)
}

async function whole(folder: CaFolder, dataDir: string): Promise<CaFiles> {
  const files = await folder.read()
  if (files === undefined) throw new AditError('storage-failed', `${dataDir}/ca vanished.`, 'Check the disk and the folder.')
  return files
}
