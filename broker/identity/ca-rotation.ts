import { newCaName, rootStem, writeIssuingCa } from '#broker/identity/ca-certificates.ts'
import type { CaFiles, CaFolder } from '#broker/identity/ca-files.ts'
import { readAnswer } from '#broker/identity/root-answer.ts'
import { succeedRoot } from '#broker/identity/root-desk.ts'
import { isListAnswer } from '#broker/identity/root-list.ts'
import { RootLists } from '#broker/identity/root-lists.ts'
import {
  advance,
  begin,
  checkMayBegin,
  type Line,
  lineWords,
  type Phase,
  presentRoot,
  type Rotation,
  rollBack,
  type Succession,
} from '#broker/identity/succession.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { encryptPrivateKey } from '#shared/pki/encrypted-key.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { createRequest } from '#shared/pki/request.ts'
import type { Role } from '#shared/pki/roles.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import { Mutex } from '#shared/platform/mutex.ts'
import type { Clock } from '#shared/time/instant.ts'

interface RotationParts {
  readonly folder: CaFolder
  readonly suite: Suite
  readonly clock: Clock
  /** Where outsiders find lists, without a slash at its end; undefined: certificates name no place. */
  readonly pkiUrl: string | undefined
  files(): CaFiles
  /** The folder has changed, durably: what follows from it is to be done. */
  changed(): Promise<void>
}

/**
 * Rotates the fleet's authorities, one step at a time, each durable and whole (F-02). It knows nothing of devices: whether a step would
 * leave somebody behind is for the caller to ask first.
 */
export class CaRotation {
  readonly #parts: RotationParts
  readonly #turns = new Mutex()
  readonly #lists: RootLists

  constructor(parts: RotationParts) {
    this.#parts = parts
    this.#lists = new RootLists(parts)
  }

  get rotation(): Rotation | undefined {
    return this.#succession.rotation
  }

  /** A request that waits for its answer. */
  get pending(): Succession['pending'] {
    return this.#succession.pending
  }

  /** Makes the next authority. Throws AditError `ca-phase`, or `ca-offline` where the root's key is elsewhere. */
  prepare(line: Line): Promise<void> {
    return this.#step(async () => {
      const { rotation } = this.#succession
      if (rotation?.line === line && rotation.phase === 'prepared') return
      checkMayBegin(this.#succession, line)
      const root = await this.#root()
      if (root === undefined) throw offline(line)
      if (line === 'root') await this.#prepareRoot(root)
      else await this.#prepareRole(line, root)
    })
  }

  /** What is to be signed where the root's key is: PEM (see root-desk.ts). Asked again, the same. */
  request(line: Line | 'crl'): Promise<string> {
    return this.#step(async () => {
      if (line === 'crl') return this.#lists.request()
      checkMayBegin(this.#succession, line)
      if (line !== 'root') return this.#roleRequest(line)
      const { succession, roots } = this.#parts.files()
      const ders = [roots.get(presentRoot(succession))!, ...this.#issuingNow().map(({ certificate }) => certificate)]
      return ders.map(({ der }) => encodePem('CERTIFICATE', der)).join('')
    })
  }

  /** Takes the answer, and is `prepared` then. Throws AditError `request-refused` where it is not one to our request. */
  install(answer: string): Promise<Line | 'crl'> {
    return this.#step(async () => {
      if (isListAnswer(answer)) {
        await this.#lists.install(answer)
        return 'crl'
      }
      const { folder, suite, clock } = this.#parts
      const { succession, roots } = this.#parts.files()
      const { pending } = succession
      const key = pending && (await folder.key(pending.stem))
      const root = roots.get(presentRoot(succession))!
      const waiting = pending && key && { role: pending.line, stem: pending.stem, spki: p256Spki(key.publicKey) }
      const taken = readAnswer(answer, { root, waiting, issuing: this.#issuingNow(), now: clock.wall(), suite })
      if (taken.line !== 'root') {
        await folder.writeCertificate(taken.stem, taken.certificate.der)
        await this.#begin(taken.line, taken.stem)
        return taken.line
      }
      const { next } = taken
      if (next.list) await folder.writeList(rootStem(next.root, suite), next.list.der)
      await this.#writeRoot(rootStem(next.root, suite), {
        ...next,
        root: next.root.der,
      })
      return 'root'
    })
  }

  /** One phase forward. Throws AditError `ca-phase`. */
  advance(line: Line, to: Phase | 'finished', options: { compromised?: boolean } = {}): Promise<void> {
    return this.#step(() => this.#write(advance(this.#succession, line, to, this.#parts.clock.wall(), options)))
  }

  /** One phase back. Throws AditError `ca-phase`. */
  rollBack(line: Line): Promise<void> {
    return this.#step(() => this.#write(rollBack(this.#succession, line, this.#parts.clock.wall())))
  }

  /** Lists of revoked CAs that are due, of roots whose keys are here. */
  renewLists(): Promise<void> {
    return this.#step(() => this.#lists.renew())
  }

  /** Destroys what a step before a power cut has left to destroy. */
  async settle(): Promise<void> {
    const { folder } = this.#parts
    const succession = this.#succession
    if (succession.erase.length === 0) return
    for (const stem of succession.erase) {
      await folder.eraseKey(stem)
      const isGivenUp = stem.startsWith('root') && !succession.roots.includes(stem)
      if (isGivenUp) await folder.removeRoot(stem, Object.values(succession.present))
    }
    await folder.writeSuccession({ ...succession, erase: [] })
    await this.#parts.changed()
  }

  /** The present root's key under a passphrase, and its certificate: PEM. */
  exportRoot(passphrase: string): Promise<string> {
    return this.#step(async () => {
      if (this.rotation?.line === 'root')
        throw new AditError('ca-phase', 'The root is being rotated.', 'End the rotation first: adit-broker ca status')
      const root = await this.#root()
      if (root === undefined) throw alreadyGone()
      // From now on whoever has the file signs the next one.
      await this.#lists.renew({ all: true })
      const key = encryptPrivateKey(encodePrivateKey('p256', root.pair), passphrase, this.#parts.suite)
      return key + encodePem('CERTIFICATE', root.certificate.der)
    })
  }

  /** Destroys the present root's key here. `fingerprint`: of that root, so that nobody means another. */
  forgetRoot(fingerprint: string): Promise<void> {
    return this.#step(async () => {
      const { folder, suite } = this.#parts
      const { roots } = this.#parts.files()
      const stem = presentRoot(this.#succession)
      if (rootName(roots.get(stem)!, suite) !== fingerprint.toLowerCase())
        throw new AditError('request-refused', 'That is not the present root.', 'See: adit-broker ca status')
      await folder.eraseKey(stem)
    })
  }

  async #prepareRole(role: Role, root: Ca): Promise<void> {
    const { folder, suite, clock, pkiUrl } = this.#parts
    const { stem, key } = await this.#pendingKey(role)
    const holder = { subject: commonName(caName(role, stem)), spki: p256Spki(key.publicKey) }
    await folder.writeCertificate(stem, writeIssuingCa(role, holder, root, clock.wall(), suite, pkiUrl))
    await this.#begin(role, stem)
  }

  async #roleRequest(role: Role): Promise<string> {
    const { suite } = this.#parts
    const { stem, key } = await this.#pendingKey(role)
    await this.#parts.changed()
    return encodePem('CERTIFICATE REQUEST', createRequest({ name: caName(role, stem), identity: key }, suite))
  }

  /** The key that waits for its certificate: known before it is there, so that none lies about unnamed. */
  async #pendingKey(role: Role): Promise<{ stem: string; key: KeyPair }> {
    const { folder, suite, clock } = this.#parts
    const stem = this.#succession.pending?.stem ?? newCaName(role, suite).replace(/^adit (\w+) CA (\w+)$/, '$1-$2')
    if (this.#succession.pending === undefined) {
      const pending = { line: role, stem, since: clock.wall() }
      await folder.writeSuccession({ ...this.#succession, pending })
    }
    const found = await folder.key(stem)
    if (found !== undefined) return { stem, key: found }
    const key = suite.ecdsaP256.generate()
    await folder.writeKey(stem, key)
    return { stem, key }
  }

  async #prepareRoot(root: Ca): Promise<void> {
    const { folder, suite, clock, pkiUrl } = this.#parts
    const made = succeedRoot(root, this.#issuingNow(), clock.wall(), suite, pkiUrl)
    const stem = rootStem(made.root.certificate, suite)
    // Named before it is there: a power cut now leaves a key that the next start destroys.
    await folder.writeSuccession({ ...this.#succession, erase: [...this.#succession.erase, stem] })
    await folder.writeKey(stem, made.root.pair)
    await this.#writeRoot(stem, { ...made, root: made.root.certificate.der })
  }

  async #writeRoot(
    stem: string,
    next: { root: Uint8Array; link: Uint8Array; back: Uint8Array; forms: readonly Uint8Array[] },
  ): Promise<void> {
    const { folder } = this.#parts
    await folder.writeCertificate(stem, next.root)
    await folder.writeCertificate(`${stem}.link`, next.link)
    await folder.writeCertificate(`${stem}.back`, next.back)
    for (const [at, ca] of this.#issuingNow().entries()) await folder.writeCertificate(`${ca.stem}.${stem}`, next.forms[at]!)
    await this.#begin('root', stem)
  }

  #issuingNow(): { role: Role; stem: string; certificate: Ca['certificate'] }[] {
    const { succession, issuing } = this.#parts.files()
    return Object.values(succession.present).map((stem) => {
      const { role, forms } = issuing.get(stem)!
      return { role, stem, certificate: forms.get(presentRoot(succession))! }
    })
  }

  /** The present root, where its key is here. */
  async #root(): Promise<Ca | undefined> {
    const { succession, roots } = this.#parts.files()
    const stem = presentRoot(succession)
    const pair = await this.#parts.folder.key(stem)
    return pair && { certificate: roots.get(stem)!, pair }
  }

  get #succession(): Succession {
    return this.#parts.files().succession
  }

  async #begin(line: Line, stem: string): Promise<void> {
    const begun = begin(this.#succession, line, stem, this.#parts.clock.wall())
    await this.#write({ ...begun, erase: begun.erase.filter((other) => other !== stem) })
  }

  async #write(succession: Succession): Promise<void> {
    if (succession !== this.#succession) await this.#parts.folder.writeSuccession(succession)
    await this.#parts.changed()
    await this.#lists.renew()
    await this.settle()
  }

  /** One step at a time. What a step that failed half way has written is read again. */
  async #step<T>(work: () => Promise<T>): Promise<T> {
    const leave = await this.#turns.enter()
    try {
      return await work()
    } finally {
      await this.#parts.changed().finally(leave)
    }
  }
}

/** `device-1a2b3c4d` is `adit device CA 1a2b3c4d`. */
const caName = (role: Role, stem: string): string => `adit ${role} CA ${stem.slice(role.length + 1)}`

const offline = (line: Line): AditError =>
  new AditError(
    'ca-offline',
    `The root's key is not here: the next ${lineWords(line)} is signed where it is.`,
    `Ask for it: adit-broker ca request --role ${line} --out FILE`,
  )

const alreadyGone = (): AditError =>
  new AditError('ca-offline', "The root's key is not here: it was taken offline before.", 'Use the file that it was taken to.')
