import { type CaFiles, createCaFiles, readCaFiles, readOrMakeTunnelKey, serverPath } from '#broker/identity/ca-files.ts'
import { type Ca, issuePeer, issueServer } from '#broker/identity/issuing-ca.ts'
import { judgePeer, type Peer, type PeerTrust } from '#broker/identity/peer-certificate.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { verifyChain } from '#shared/pki/chain.ts'
import { isHostName } from '#shared/pki/host-name.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki, parsePublicKey } from '#shared/pki/public-key.ts'
import type { PeerRole, Role } from '#shared/pki/roles.ts'
import { type FilePort, makePrivateDirectory, nodeFiles, readSecret, writeDurably } from '#shared/platform/files.ts'
import { type Clock, days, type WallTime } from '#shared/time/instant.ts'
import { formatAddress, tryParseAddress } from '#shared/wire/ip-address.ts'

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
}

export interface IssueRequest {
  role: PeerRole
  name: string
  /** SubjectPublicKeyInfo DER of a P-256 key, taken from a verified request. */
  spki: Uint8Array
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
const serverDays = 180
const alwaysNamed = ['localhost', '127.0.0.1', '::1']

/** The fleet's certificate authority, as the rest of the broker sees it. */
export type AuthorityFace = Pick<
  Authority,
  | 'rootDer'
  | 'rootFingerprint'
  | 'tls'
  | 'tunnelKey'
  | 'enrolmentKey'
  | 'issue'
  | 'chainOf'
  | 'verifyPeer'
  | 'refreshApiCertificate'
>

/** Root, issuing CAs, API certificate and the broker's own keys, all in the data folder (see ca-files.ts). */
export class Authority {
  readonly rootDer: Uint8Array
  /** SHA-256 of `rootDer`: 32 bytes. */
  readonly rootFingerprint: Uint8Array
  /** X25519: the broker's WireGuard static key. */
  readonly tunnelKey: KeyPair
  /** X25519: proofs of possession of tunnel keys are made against it. */
  readonly enrolmentKey: KeyPair
  readonly #files: CaFiles
  readonly #trust: PeerTrust
  readonly #suite: Suite
  readonly #clock: Clock
  readonly #port: FilePort
  readonly #dataDir: string
  #tls: { key: string; cert: string } = { key: '', cert: '' }

  /** Opens the authority of `dataDir`, making at the first run what is not there. The caller holds the data lock. */
  static async openOrCreate(dataDir: string, ports: AuthorityPorts, options: AuthorityOptions = {}): Promise<Authority> {
    const { suite, clock, files: port = nodeFiles } = ports
    await makePrivateDirectory(dataDir, port)
    const tunnelKey = await readOrMakeTunnelKey(dataDir, suite, port)
    if ((await readCaFiles(dataDir, suite, port)) === undefined) await createCaFiles(dataDir, clock.wall(), suite, port)
    const files = await readCaFiles(dataDir, suite, port)
    if (files === undefined) throw new AditError('storage-failed', `${dataDir}/ca vanished.`, 'Check the disk and the folder.')
    const authority = new Authority(dataDir, files, tunnelKey, ports, port)
    await authority.#openServer(options.apiNames)
    return authority
  }

  private constructor(dataDir: string, files: CaFiles, tunnelKey: KeyPair, ports: AuthorityPorts, port: FilePort) {
    this.#dataDir = dataDir
    this.#files = files
    this.#suite = ports.suite
    this.#clock = ports.clock
    this.#port = port
    this.rootDer = files.root.der
    this.rootFingerprint = ports.suite.hash('sha256', files.root.der)
    this.tunnelKey = tunnelKey
    this.enrolmentKey = files.enrolmentKey
    const issuers = new Map<PeerRole, Certificate>()
    for (const [role, ca] of files.issuing) if (role !== 'api') issuers.set(role, ca.certificate)
    this.#trust = { root: files.root, issuers, suite: ports.suite }
  }

  /** PEM of the API's key and of its chain: leaf, issuing CA, root. */
  get tls(): { key: string; cert: string } {
    return this.#tls
  }

  /** Throws AditError `name-invalid` or `request-refused`. */
  async issue(request: IssueRequest): Promise<IssuedCertificate> {
    const { role, spki, tunnelKey } = request
    checkIdentityKey(spki)
    const ca = this.#ca(role)
    const content = { role, name: checkName(request.name), spki, days: request.days ?? peerDays, ...(tunnelKey && { tunnelKey }) }
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

  /** Re-issues the API certificate where its names changed or a third of its life is left; true where `tls` changed. */
  async refreshApiCertificate(names: readonly string[] = this.#presentNames()): Promise<boolean> {
    const hosts = hostsOf(names)
    if (this.#serverFits(this.#tls.cert, hosts)) return false
    await this.#issueServer(hosts)
    return true
  }

  async #openServer(names: readonly string[] | undefined): Promise<void> {
    const found = await readSecret(serverPath(this.#dataDir), this.#port)
    if (found !== undefined) this.#tls = split(Buffer.from(found).toString('latin1'))
    const usable = this.#tls.key !== '' && this.#serverFits(this.#tls.cert, names === undefined ? undefined : hostsOf(names))
    if (!usable) await this.#issueServer(hostsOf(names ?? this.#presentNames()))
  }

  /** Whether the certificate is ours, lives long enough and is for `hosts` (any, where undefined). */
  #serverFits(pem: string, hosts: readonly string[] | undefined): boolean {
    try {
      const [der] = decodePem('CERTIFICATE', pem)
      if (der === undefined) return false
      const leaf = parseCertificate(der)
      const now = this.#clock.wall()
      if (leaf.notAfter - now < days(serverDays) / 3) return false
      verifyChain(leaf, [this.#ca('api').certificate], { anchors: [this.#files.root], now, purposes: [] })
      return hosts === undefined || hosts.join() === namesOf(leaf).join()
    } catch (error) {
      if (error instanceof PkiError) return false
      throw error
    }
  }

  #presentNames(): readonly string[] {
    try {
      const [der] = decodePem('CERTIFICATE', this.#tls.cert)
      return der === undefined ? [] : namesOf(parseCertificate(der))
    } catch (error) {
      if (error instanceof PkiError) return []
      throw error
    }
  }

  async #issueServer(hosts: readonly string[]): Promise<void> {
    const pair = this.#suite.ecdsaP256.generate()
    const leaf = issueServer(this.#ca('api'), hosts, p256Spki(pair.publicKey), serverDays, this.#clock.wall(), this.#suite)
    const cert = [leaf, ...this.chainOf('api')].map((der) => encodePem('CERTIFICATE', der)).join('')
    const key = encodePrivateKey('p256', pair)
    await writeDurably(serverPath(this.#dataDir), key + cert, {}, this.#port)
    this.#tls = { key, cert }
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

function checkIdentityKey(spki: Uint8Array): void {
  try {
    if (parsePublicKey(spki).kind === 'p256') return
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
  }
  throw new AditError('request-refused', 'The key to certify is not a P-256 key.', 'Make a P-256 key and request again.')
}

/** Canonical texts without repetition, those that were asked for first. */
function hostsOf(names: readonly string[]): string[] {
  const hosts = [...names, ...alwaysNamed].map((name) => {
    const address = tryParseAddress(name)
    if (address !== undefined) return formatAddress(address)
    if (isHostName(name)) return name.toLowerCase()
    const mend = 'Give host names and IP addresses without port or brackets.'
    throw new AditError('config-invalid', `${JSON.stringify(name)} is neither a host name nor an IP address.`, mend)
  })
  return [...new Set(hosts)]
}

const namesOf = (leaf: Certificate): string[] =>
  (leaf.extensions.subjectAltNames?.names ?? []).flatMap((name) => {
    if (name.kind === 'dns') return [name.value]
    return name.kind === 'ip' ? [formatAddress(name.bytes)] : []
  })

/** The two halves of server.pem. */
function split(text: string): { key: string; cert: string } {
  const at = text.indexOf('-----BEGIN CERTIFICATE-----')
  return at < 0 ? { key: '', cert: '' } : { key: text.slice(0, at), cert: text.slice(at) }
}
