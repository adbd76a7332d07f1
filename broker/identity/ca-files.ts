import { makeIssuingCa, makeRoot } from '#broker/identity/ca-certificates.ts'
import { damagedFile, findCertificateFile, findKeyFile, required } from '#broker/identity/ca-file.ts'
import { listIn, listPem } from '#broker/identity/root-list.ts'
import { decodeSuccession, encodeSuccession, firstSuccession, presentRoot, type Succession } from '#broker/identity/succession.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { type Certificate, isSignedBy } from '#shared/pki/certificate.ts'
import type { RevocationList } from '#shared/pki/crl-reader.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { type Role, roles } from '#shared/pki/roles.ts'
import { eraseDurably } from '#shared/platform/erase-file.ts'
import {
  type FilePort,
  makePrivateDirectory,
  readSecret,
  removeDurably,
  storageError,
  writeDurably,
} from '#shared/platform/files.ts'
import type { WallTime } from '#shared/time/instant.ts'

/**
 * The authority on disk.
 *
 *   DATA/tunnel.key            X25519: the broker's WireGuard static key
 *   DATA/statement.key         Ed25519: signs what ends believe of one another where the administrator has no fleet key
 *   DATA/ca/succession.json    which authorities are at work; absent before the first rotation
 *   DATA/ca/root.pem .key      the first root; the key is gone where the root was taken offline
 *   DATA/ca/root-ID.pem .key   a root that follows it; root-ID.link.pem: signed by the one before; root-ID.back.pem: the one before, by it
 *   DATA/ca/root.crl           a root's list of issuing CAs that are revoked, of each root: root-ID.crl
 *   DATA/ca/ROLE.pem .key      the first issuing CA of each role; ROLE-ID.pem .key one that follows it
 *   DATA/ca/ROLE.root-ID.pem   the same issuing CA, certified once more by a root that came later
 *   DATA/ca/enrolment.key      X25519: against it tunnel keys are proven
 *   DATA/ca/server.pem         key and chain of the API, in one file so that they change together
 *   DATA/ca/ike.pem            key and chain of the broker's IKE, likewise
 *   DATA/resumption.key        what seals session tickets of IKE (see ticket-keys.ts)
 *
 * The folder `ca` is written whole under another name and then renamed: after a power cut there is none, or a whole one. Later every file
 * is there before succession.json, which is replaced whole, speaks of it, and a key is destroyed after it no longer does.
 */
export interface CaFiles {
  readonly succession: Succession
  /** By stem: those that were, the present one, and the next. */
  readonly roots: ReadonlyMap<string, Certificate>
  /** By the stem of the root that is certified. */
  readonly links: ReadonlyMap<string, Certificate>
  /** By the stem of the root: its newest list of revoked CAs. */
  readonly lists: ReadonlyMap<string, RevocationList>
  /** Of the present root, by the next. */
  readonly back: Certificate | undefined
  /** By stem. */
  readonly issuing: ReadonlyMap<string, IssuingFiles>
  /** Whether the present root's key is in the folder. */
  readonly rootKeyHere: boolean
  readonly enrolmentKey: KeyPair
}

/** One issuing CA: a name and a key, certified by one root or by two. */
export interface IssuingFiles {
  readonly role: Role
  readonly stem: string
  /** By the stem of the root that signed; of a former CA the one form that there is, under `former`. */
  readonly forms: ReadonlyMap<string, Certificate>
  /** By roots that were before the one that signed `forms`: of what it signed in their time they are the proof. */
  readonly past: readonly Certificate[]
  /** Undefined of a former CA. */
  readonly pair: KeyPair | undefined
}

const folder = (dataDir: string): string => `${dataDir}/ca`
const draftFolder = (dataDir: string): string => `${dataDir}/.ca.new`
export const serverPath = (dataDir: string): string => `${folder(dataDir)}/server.pem`
export const ikePath = (dataDir: string): string => `${folder(dataDir)}/ike.pem`
export const ticketKeysPath = (dataDir: string): string => `${dataDir}/resumption.key`

/** Makes the folder where there is none yet. `pkiUrl`: under which outsiders find lists, if anywhere. */
export async function createCaFiles(
  dataDir: string,
  { now, suite, port, pkiUrl }: { now: WallTime; suite: Suite; port: FilePort; pkiUrl: string | undefined },
): Promise<void> {
  const draft = draftFolder(dataDir)
  // A draft that a power cut left is used again: every file in it is replaced.
  await makePrivateDirectory(draft, port)
  const root = makeRoot(now, suite)
  await writeCa(`${draft}/root`, root, port)
  for (const role of roles) await writeCa(`${draft}/${role}`, makeIssuingCa(role, root, now, suite, pkiUrl), port)
  await writeDurably(`${draft}/enrolment.key`, encodePrivateKey('x25519', suite.x25519.generate()), {}, port)
  try {
    await port.rename(draft, folder(dataDir))
    await port.syncDirectory(dataDir)
  } catch (error) {
    throw storageError(error, 'write', folder(dataDir))
  }
}

async function writeCa(path: string, ca: Ca, port: FilePort): Promise<void> {
  await writeDurably(`${path}.key`, encodePrivateKey('p256', ca.pair), {}, port)
  await writeDurably(`${path}.pem`, encodePem('CERTIFICATE', ca.certificate.der), {}, port)
}

/** The folder DATA/ca of an open authority. The caller holds the data lock, and does one thing at a time. */
export class CaFolder {
  readonly #dir: string
  readonly #suite: Suite
  readonly #port: FilePort

  constructor(dataDir: string, suite: Suite, port: FilePort) {
    this.#dir = folder(dataDir)
    this.#suite = suite
    this.#port = port
  }

  /** Undefined where the folder is not there; AditError where it is there and not whole. */
  async read(): Promise<CaFiles | undefined> {
    try {
      await this.#port.lstat(this.#dir)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw storageError(error, 'read', this.#dir)
    }
    await makePrivateDirectory(this.#dir, this.#port)
    const succession = await this.#succession()
    const { rotation } = succession
    const nextRoot = rotation?.line === 'root' ? rotation.next : undefined
    const roots = new Map<string, Certificate>()
    const links = new Map<string, Certificate>()
    for (const stem of [...succession.roots, ...(nextRoot === undefined ? [] : [nextRoot])]) {
      roots.set(stem, await this.certificate(stem))
      if (stem !== succession.roots[0]) links.set(stem, await this.certificate(`${stem}.link`))
    }
    return {
      succession,
      roots,
      links,
      lists: await this.#lists(roots),
      back: nextRoot === undefined ? undefined : await this.certificate(`${nextRoot}.back`),
      issuing: await this.#issuing(succession, roots, nextRoot),
      rootKeyHere: (await this.key(presentRoot(succession))) !== undefined,
      enrolmentKey: await this.#required('enrolment.key', (path) => findKeyFile('x25519', path, this.#suite, this.#port)),
    }
  }

  /** Durable, and from now on what counts. */
  async writeSuccession(succession: Succession): Promise<void> {
    await writeDurably(this.#path('succession.json'), encodeSuccession(succession), {}, this.#port)
  }

  async writeKey(stem: string, pair: KeyPair): Promise<void> {
    await writeDurably(this.#path(`${stem}.key`), encodePrivateKey('p256', pair), {}, this.#port)
  }

  /** `name`: of the file, without its end. */
  async writeCertificate(name: string, der: Uint8Array): Promise<void> {
    await writeDurably(this.#path(`${name}.pem`), encodePem('CERTIFICATE', der), {}, this.#port)
  }

  /** A root's list of revoked CAs. `der`: CertificateList. */
  async writeList(stem: string, der: Uint8Array): Promise<void> {
    await writeDurably(this.#path(`${stem}.crl`), listPem(der), {}, this.#port)
  }

  certificate(name: string): Promise<Certificate> {
    return this.#required(`${name}.pem`, (path) => findCertificateFile(path, this.#port))
  }

  /** The key that belongs to the stem; undefined where there is none. */
  key(stem: string): Promise<KeyPair | undefined> {
    return findKeyFile('p256', this.#path(`${stem}.key`), this.#suite, this.#port)
  }

  /** The key is overwritten, then removed: what a disk keeps elsewhere of it nobody can say. */
  eraseKey(stem: string): Promise<void> {
    return eraseDurably(this.#path(`${stem}.key`), this.#port)
  }

  /** Of the next root that is given up: all but its key. `issuing`: stems of the CAs that it had certified. */
  async removeRoot(stem: string, issuing: readonly string[]): Promise<void> {
    for (const name of [`${stem}.link`, `${stem}.back`, ...issuing.map((ca) => `${ca}.${stem}`), stem])
      await removeDurably(this.#path(`${name}.pem`), this.#port)
    await removeDurably(this.#path(`${stem}.crl`), this.#port)
  }

  /** A damaged list counts as none: status calls it due then, and whoever has the root's key makes another. */
  async #lists(roots: ReadonlyMap<string, Certificate>): Promise<Map<string, RevocationList>> {
    const found = new Map<string, RevocationList>()
    for (const [stem, root] of roots) {
      const bytes = await readSecret(this.#path(`${stem}.crl`), this.#port)
      const list = bytes && tryReadList(Buffer.from(bytes).toString('latin1'), root)
      if (list) found.set(stem, list)
    }
    return found
  }

  async #succession(): Promise<Succession> {
    const path = this.#path('succession.json')
    const bytes = await readSecret(path, this.#port)
    if (bytes === undefined) return firstSuccession
    const succession = decodeSuccession(Buffer.from(bytes).toString('utf8'))
    if (succession === undefined) throw damagedFile(path, 'cannot be read')
    return succession
  }

  async #issuing(
    succession: Succession,
    roots: ReadonlyMap<string, Certificate>,
    nextRoot: string | undefined,
  ): Promise<Map<string, IssuingFiles>> {
    const { rotation, present, former } = succession
    const under = presentRoot(succession)
    const found = new Map<string, IssuingFiles>()
    const atWork = roles.map((role) => ({ role, stem: present[role] }))
    if (rotation !== undefined && rotation.line !== 'root') atWork.push({ role: rotation.line, stem: rotation.next })
    for (const { role, stem } of atWork) {
      const forms = new Map([[under, await this.#form(stem, under, roots)]])
      if (nextRoot !== undefined) forms.set(nextRoot, await this.#form(stem, nextRoot, roots))
      const pair = await this.#required(`${stem}.key`, () => this.key(stem))
      for (const { spki } of forms.values()) {
        if (!equalPublic(p256Spki(pair.publicKey), spki))
          throw damagedFile(this.#path(`${stem}.key`), 'is not the key of its certificate')
      }
      found.set(stem, { role, stem, forms, past: await this.#past(stem, forms, succession), pair })
    }
    for (const { line, stem } of former) {
      const forms = new Map([['former', await this.certificate(stem)]])
      found.set(stem, { role: line, stem, forms, past: await this.#past(stem, forms, succession), pair: undefined })
    }
    return found
  }

  /** Every certificate of that CA by a root of ours but those in `forms`. */
  async #past(stem: string, forms: ReadonlyMap<string, Certificate>, { roots }: Succession): Promise<Certificate[]> {
    const names = [stem, ...roots.map((root) => `${stem}.${root}`)]
    const found = await Promise.all(names.map((name) => findCertificateFile(this.#path(`${name}.pem`), this.#port)))
    const present = [...forms.values()]
    return found.filter((form) => form !== undefined && !present.some(({ der }) => equalPublic(der, form.der))) as Certificate[]
  }

  /** The certificate of an issuing CA by that root: one that was made under it has no other. */
  async #form(stem: string, rootStem: string, roots: ReadonlyMap<string, Certificate>): Promise<Certificate> {
    const root = roots.get(rootStem) as Certificate
    const later = `${stem}.${rootStem}`
    const again = await findCertificateFile(this.#path(`${later}.pem`), this.#port)
    const form = again ?? (await this.certificate(stem))
    if (!isSignedBy(form, root)) throw damagedFile(this.#path(`${again ? later : stem}.pem`), `is not signed by ${rootStem}`)
    return form
  }

  #required<T>(name: string, find: (path: string) => Promise<T | undefined>): Promise<T> {
    const path = this.#path(name)
    return required(path, find(path))
  }

  #path(name: string): string {
    return `${this.#dir}/${name}`
  }
}

function tryReadList(text: string, root: Certificate): RevocationList | undefined {
  try {
    return listIn(text, root)
  } catch (error) {
    if (error instanceof PkiError) return undefined
    throw error
  }
}

/** The keys of the data folder itself, made where they are not there. */
export async function readOrMakeOwnKeys(dataDir: string, suite: Suite, port: FilePort): Promise<OwnKeys> {
  return {
    tunnel: await readOrMake('x25519', `${dataDir}/tunnel.key`, suite, port),
    statement: await readOrMake('ed25519', `${dataDir}/statement.key`, suite, port),
  }
}

export interface OwnKeys {
  readonly tunnel: KeyPair
  readonly statement: KeyPair
}

async function readOrMake(kind: 'x25519' | 'ed25519', path: string, suite: Suite, port: FilePort): Promise<KeyPair> {
  const found = await findKeyFile(kind, path, suite, port)
  if (found !== undefined) return found
  const pair = suite[kind].generate()
  await writeDurably(path, encodePrivateKey(kind, pair), {}, port)
  return pair
}
