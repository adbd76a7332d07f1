import {
  type CaFiles,
  createCaFiles,
  ikePath,
  type OwnKeys,
  readCaFiles,
  readOrMakeOwnKeys,
  serverPath,
  ticketKeysPath,
} from '#broker/identity/ca-files.ts'
import { type IkeIdentity, ikeIdentity } from '#broker/identity/ike-identity.ts'
import { type Ca, issuePeer } from '#broker/identity/issuing-ca.ts'
import { judgedIkePeer, judgeIkePeer, judgePeer, type Peer, type PeerTrust } from '#broker/identity/peer-certificate.ts'
import { ServerCredential, type ServerWords } from '#broker/identity/server-credential.ts'
import { TicketKeys } from '#broker/identity/ticket-keys.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KnownCertificates } from '#shared/pki/known-certificates.ts'
import { purposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { parsePublicKey } from '#shared/pki/public-key.ts'
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
}

export interface IssueRequest {
  role: PeerRole
  name: string
  /** SubjectPublicKeyInfo DER of a P-256 key, taken from a verified request. */
  spki: Uint8Array
  /** For a stock IPsec peer: its key may also be of P-384, Ed25519 or RSA, and its name is a host name in it too. */
  ipsec?: boolean
  /** 32-byte X25519 key whose possession was proven. */
  tunnelKey?: Uint8Array
  /** Life in days; 30 unless said otherwise. */
  days?: number
}

export interface IssuedCertificate {
  der: Uint8Array
  serialHex: string
  /** SHA-256 of the issuing CA's SPKI, hex: with the serial it names a certificate for revocation. */
  issuerHex: string
  notBefore: WallTime
  notAfter: WallTime
  spkiSha256Hex: string
}

/** Life of certificates, in days. */
const peerDays = 30

/** The fleet's certificate authority, as the rest of the broker sees it. */
export type AuthorityFace = Pick<
  Authority,
  | 'rootDer'
  | 'rootFingerprint'
  | 'tls'
  | 'ike'
  | 'tunnelKey'
  | 'statementKey'
  | 'enrolmentKey'
  | 'issue'
  | 'chainOf'
  | 'verifyPeer'
  | 'judgeIkePeer'
  | 'judgedIkePeer'
  | 'authorities'
  | 'refreshApiCertificate'
  | 'refreshIkeCertificate'
  | 'openTicketKeys'
>

/** Root, issuing CAs, API certificate and the broker's own keys, all in the data folder (see ca-files.ts). */
export class Authority {
  readonly rootDer: Uint8Array
  /** SHA-256 of `rootDer`: 32 bytes. */
  readonly rootFingerprint: Uint8Array
  /** X25519: the broker's WireGuard static key. */
  readonly tunnelKey: KeyPair
  /** Ed25519: signs statements where the administrator has made no fleet key (DESIGN D6). */
  readonly statementKey: KeyPair
  /** X25519: proofs of possession of tunnel keys are made against it. */
  readonly enrolmentKey: KeyPair
  readonly #files: CaFiles
  readonly #trust: PeerTrust
  readonly #suite: Suite
  readonly #clock: Clock
  readonly #port: FilePort
  readonly #dataDir: string
  readonly #ikeId: string | undefined
  /** Certificates are judged no earlier than what we hold ourselves was made (DESIGN D5). */
  readonly #floor: TimeFloor
  #api!: ServerCredential
  #ikeServer!: ServerCredential
  #ike!: IkeIdentity

  /** Opens the authority of `dataDir`, making at the first run what is not there. The caller holds the data lock. */
  static async openOrCreate(dataDir: string, ports: AuthorityPorts, options: AuthorityOptions = {}): Promise<Authority> {
    const { suite, clock, files: port = nodeFiles } = ports
    await makePrivateDirectory(dataDir, port)
    const own = await readOrMakeOwnKeys(dataDir, suite, port)
    if ((await readCaFiles(dataDir, suite, port)) === undefined) await createCaFiles(dataDir, clock.wall(), suite, port)
    const files = await readCaFiles(dataDir, suite, port)
    if (files === undefined) throw new AditError('storage-failed', `${dataDir}/ca vanished.`, 'Check the disk and the folder.')
    const authority = new Authority(dataDir, files, own, ports, port, options.ikeId)
    await authority.#openServers(options)
    return authority
  }

  private constructor(
    dataDir: string,
    files: CaFiles,
    own: OwnKeys,
    ports: AuthorityPorts,
    port: FilePort,
    ikeId: string | undefined,
  ) {
    this.#dataDir = dataDir
    this.#ikeId = ikeId?.toLowerCase()
    this.#floor = new TimeFloor(ports.clock, files.root.notBefore)
    this.#files = files
    this.#suite = ports.suite
    this.#clock = ports.clock
    this.#port = port
    this.rootDer = files.root.der
    this.rootFingerprint = ports.suite.hash('sha256', files.root.der)
    this.tunnelKey = own.tunnel
    this.statementKey = own.statement
    this.enrolmentKey = files.enrolmentKey
    const issuers = new Map<PeerRole, Certificate>()
    for (const [role, ca] of files.issuing) if (role !== 'api') issuers.set(role, ca.certificate)
    this.#trust = { root: files.root, issuers, suite: ports.suite, known: new KnownCertificates() }
  }

  /** PEM of the API's key and of its chain: leaf, issuing CA, root. */
  get tls(): { key: string; cert: string } {
    return this.#api.pem
  }

  /** How the broker proves itself to IKE peers: another object after each re-issue. */
  get ike(): IkeIdentity {
    return this.#ike
  }

  /**
   * SHA-1 of the SPKI of the CAs that IKE peers are asked for a certificate of (RFC 7296 §3.7): the root, and what signs devices, since some
   * routers look at a certificate's issuer alone. No more: the answer to strongSwan's first message stays no longer than that, and
   * costs it no cookie.
   */
  get authorities(): readonly Uint8Array[] {
    return [this.#trust.root, this.#ca('device').certificate].map(({ spki }) => this.#suite.hash('sha1', spki))
  }

  /** Throws AditError `name-invalid` or `request-refused`. */
  async issue(request: IssueRequest): Promise<IssuedCertificate> {
    const { role, spki, tunnelKey } = request
    const ipsec = request.ipsec ?? false
    checkIdentityKey(spki, ipsec)
    const ca = this.#ca(role)
    const life = request.days ?? peerDays
    const content = { role, name: checkName(request.name), spki, days: life, ipsec, ...(tunnelKey && { tunnelKey }) }
    const der = issuePeer(ca, content, this.#clock.wall(), this.#suite)
    const { serialHex, notBefore, notAfter } = parseCertificate(der)
    return {
      der,
      serialHex,
      issuerHex: this.#hashHex(ca.certificate.spki),
      notBefore,
      notAfter,
      spkiSha256Hex: this.#hashHex(spki),
    }
  }

  /** The issuing CA of the role, then the root: DER. */
  chainOf(role: Role): Uint8Array[] {
    return [this.#ca(role).certificate.der, this.rootDer]
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
    return this.#api.refresh(names)
  }

  /** Likewise of the broker's IKE; true where `ike` changed. */
  async refreshIkeCertificate(): Promise<boolean> {
    const changed = await this.#ikeServer.refresh()
    if (changed) this.#takeIke()
    return changed
  }

  /** Makes the file at the first time. */
  openTicketKeys(): Promise<TicketKeys> {
    return TicketKeys.open(ticketKeysPath(this.#dataDir), { suite: this.#suite, clock: this.#clock, port: this.#port })
  }

  async #openServers({ apiNames, ikeNames = apiNames }: AuthorityOptions): Promise<void> {
    const files = this.#files
    const parts = { ca: this.#ca('api'), root: files.root, suite: this.#suite, clock: this.#clock, port: this.#port }
    // No host: a peer that expects this subject is not to be troubled by an address that changes.
    const subject = commonName(`adit broker ${toHex(this.rootFingerprint.subarray(0, 4))}`)
    const ike: ServerWords = () => ({ subject, purposes: [purposes.serverAuth, purposes.ipsecIke] })
    this.#api = await ServerCredential.open({ ...parts, path: serverPath(this.#dataDir), words: apiWords }, apiNames)
    this.#ikeServer = await ServerCredential.open({ ...parts, path: ikePath(this.#dataDir), words: ike }, ikeNames)
    this.#takeIke()
  }

  #takeIke(): void {
    this.#ike = ikeIdentity(this.#ikeServer.pem, this.#ikeId)
    this.#floor.raise(this.#ike.certificate.notBefore)
  }

  #ca(role: Role): Ca {
    const ca = this.#files.issuing.get(role)
    if (ca === undefined) throw new RangeError(`no issuing CA for the role ${role}`)
    return ca
  }

  #hashHex(bytes: Uint8Array): string {
    return toHex(this.#suite.hash('sha256', bytes))
  }
}

const apiWords: ServerWords = ([first = 'localhost']) => ({ subject: commonName(first), purposes: [purposes.serverAuth] })

function checkIdentityKey(spki: Uint8Array, ipsec: boolean): void {
  try {
    if (parsePublicKey(spki).kind === 'p256' || ipsec) return
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    if (ipsec) throw new AditError('request-refused', `The key to certify cannot be used: ${error.message}.`, ipsecKeys)
  }
  throw new AditError('request-refused', 'The key to certify is not a P-256 key.', 'Make a P-256 key and request again.')
}

const ipsecKeys = 'Make a key of P-256, P-384, Ed25519 or RSA from 2048 bits and request again.'
