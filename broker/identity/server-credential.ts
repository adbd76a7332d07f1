import { type Ca, issueServer, type ServerContent } from '#broker/identity/issuing-ca.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { verifyChain } from '#shared/pki/chain.ts'
import { isHostName } from '#shared/pki/host-name.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { type FilePort, readSecret, writeDurably } from '#shared/platform/files.ts'
import { type Clock, days } from '#shared/time/instant.ts'
import { formatAddress, tryParseAddress } from '#shared/wire/ip-address.ts'

/** Life in days; it is re-issued when a third of that is left. */
const serverDays = 180
/** Names that every certificate of the broker has. */
export const alwaysNamed: readonly string[] = ['localhost', '127.0.0.1', '::1']

/** What the certificate is to say beside its hosts, which are in this order. */
export type ServerWords = (hosts: readonly string[]) => Pick<ServerContent, 'subject' | 'purposes'>

export interface ServerCredentialOptions {
  path: string
  /** Who issues, at this moment. */
  ca(): Ca
  /** What follows the certificate, at this moment: the issuing CA, how former roots lead to its own, and the roots. */
  tail(): readonly Certificate[]
  words: ServerWords
  suite: Suite
  clock: Clock
  port: FilePort
}

/** A certificate of the broker itself with its P-256 key, in one file: made where there is none, re-issued in time. */
export class ServerCredential {
  readonly #options: ServerCredentialOptions
  /** PEM of the key, and of the leaf and its tail. */
  #pem = { key: '', cert: '' }

  /** `names`: host names and literal addresses; undefined: those that it has. Throws AditError `config-invalid`. */
  static async open(options: ServerCredentialOptions, names: readonly string[] | undefined): Promise<ServerCredential> {
    const credential = new ServerCredential(options)
    const found = await readSecret(options.path, options.port)
    if (found !== undefined) credential.#pem = split(Buffer.from(found).toString('latin1'))
    const usable = credential.#pem.key !== '' && credential.#fits(names === undefined ? undefined : hostsOf(names))
    if (!usable) await credential.#issue(hostsOf(names ?? credential.#presentNames()))
    return credential
  }

  private constructor(options: ServerCredentialOptions) {
    this.#options = options
  }

  get pem(): { key: string; cert: string } {
    return this.#pem
  }

  /** Re-issues where the names changed or a third of the life is left; true where `pem` changed. */
  async refresh(names: readonly string[] = this.#presentNames()): Promise<boolean> {
    const hosts = hostsOf(names)
    if (this.#fits(hosts)) return false
    await this.#issue(hosts)
    return true
  }

  /** Whether the certificate is ours, says what it is to say, lives long enough and is for `hosts` (any, where undefined). */
  #fits(hosts: readonly string[] | undefined): boolean {
    const { tail, words, clock } = this.#options
    try {
      const [der, ...after] = decodePem('CERTIFICATE', this.#pem.cert)
      if (der === undefined) return false
      const wanted = tail()
      if (after.length !== wanted.length || !wanted.every((one, at) => equalPublic(one.der, after[at]!))) return false
      const leaf = parseCertificate(der)
      const now = clock.wall()
      if (leaf.notAfter - now < days(serverDays) / 3) return false
      const [ca, ...roots] = wanted as readonly [Certificate, ...Certificate[]]
      verifyChain(leaf, [ca], { anchors: roots, now, purposes: [] })
      const names = namesOf(leaf)
      const { subject, purposes } = words(names)
      const has = leaf.extensions.purposes?.oids ?? []
      if (Buffer.compare(leaf.subject, subject) !== 0 || !purposes.every((oid) => has.includes(oid))) return false
      return hosts === undefined || hosts.join() === names.join()
    } catch (error) {
      if (error instanceof PkiError) return false
      throw error
    }
  }

  #presentNames(): readonly string[] {
    try {
      const [der] = decodePem('CERTIFICATE', this.#pem.cert)
      return der === undefined ? [] : namesOf(parseCertificate(der))
    } catch (error) {
      if (error instanceof PkiError) return []
      throw error
    }
  }

  async #issue(hosts: readonly string[]): Promise<void> {
    const { ca, tail, words, suite, clock, path, port } = this.#options
    const pair = suite.ecdsaP256.generate()
    const full = { ...words(hosts), hosts, days: serverDays }
    const leaf = issueServer(ca(), full, p256Spki(pair.publicKey), clock.wall(), suite)
    const cert = [leaf, ...tail().map(({ der }) => der)].map((der) => encodePem('CERTIFICATE', der)).join('')
    const key = encodePrivateKey('p256', pair)
    await writeDurably(path, key + cert, {}, port)
    this.#pem = { key, cert }
  }
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

/** Host names and literal addresses, in their order. */
export const namesOf = (leaf: Certificate): string[] =>
  (leaf.extensions.subjectAltNames?.names ?? []).flatMap((name) => {
    if (name.kind === 'dns') return [name.value]
    return name.kind === 'ip' ? [formatAddress(name.bytes)] : []
  })

/** The two halves of the file. */
function split(text: string): { key: string; cert: string } {
  const at = text.indexOf('-----BEGIN CERTIFICATE-----')
  return at < 0 ? { key: '', cert: '' } : { key: text.slice(0, at), cert: text.slice(at) }
}
