import type { Certificate } from '#shared/pki/certificate.ts'
import type { PeerRole } from '#shared/pki/roles.ts'

/** A CA whose signature may make a peer of one role. */
export interface TrustedIssuer {
  readonly role: PeerRole
  readonly certificate: Certificate
  /** The CAs between it and a root, nearest first: of a station's delegated CA, the fleet's device CA. */
  readonly above: readonly Certificate[]
  /** Other certificates that it had before, and those that stood above them then: what it signed in their time is judged by them. */
  readonly past?: readonly Certificate[]
  /** Where given, of all that it signed only what this says is believed: a revoked station's units that were known before. */
  readonly holds?: (leaf: Pick<Certificate, 'serialHex'>) => boolean
}

/** What the fleet's own authorities are at this moment, of which stations' CAs hang. */
export interface OwnAuthorities {
  /** Trusted now, the one that claims pin first. */
  readonly roots: readonly Certificate[]
  /** Those that were: what may still renew may hang of them. */
  readonly formerRoots: readonly Certificate[]
  readonly issuers: readonly {
    readonly role: PeerRole
    /** One CA, certified by one root or by several. */
    readonly forms: readonly [Certificate, ...Certificate[]]
    /** By roots of before. */
    readonly past: readonly Certificate[]
    readonly word: 'full' | 'renews' | 'nothing'
  }[]
}

type Own = OwnAuthorities['issuers'][number]

/** By whom certificates of peers may be issued, at this moment: authorities succeed one another, stations come and go. */
export class TrustedIssuers {
  #roots: Certificate[]
  #formerRoots: readonly Certificate[] = []
  /** By subject; every CA of ours has a name of its own, and keeps it where another root certifies it. */
  #own = new Map<string, Own>()
  /** Those of stations, by the name that a leaf gives its issuer. */
  readonly #added = new Map<string, TrustedIssuer>()

  constructor(roots: readonly Certificate[], issuers: readonly TrustedIssuer[] = []) {
    this.#roots = [...roots]
    for (const issuer of issuers) this.add(issuer)
  }

  /** The fleet's roots, the present one first. */
  get roots(): readonly Certificate[] {
    return this.#roots
  }

  /** Whose certificates are good for everything. */
  *[Symbol.iterator](): IterableIterator<TrustedIssuer> {
    for (const { role, forms, word } of this.#own.values())
      if (word === 'full') for (const certificate of forms) yield { role, certificate, above: [] }
    for (const issuer of this.#added.values()) if (this.wordOf(issuer) === 'full') yield issuer
  }

  /** Whom the leaf names as its issuer, if its word means anything. Nothing is verified yet. */
  of(leaf: Pick<Certificate, 'issuerKey' | 'serialHex'>): TrustedIssuer | undefined {
    const own = this.#own.get(leaf.issuerKey)
    const issuer = own ? { role: own.role, certificate: own.forms[0], above: [] } : this.#added.get(leaf.issuerKey)
    return issuer && this.wordOf(issuer) !== 'nothing' && !this.isClosedTo(leaf) ? issuer : undefined
  }

  /** Whether a revoked station issued it, and it was not known before. */
  isClosedTo(leaf: Pick<Certificate, 'issuerKey' | 'serialHex'>): boolean {
    return this.#added.get(leaf.issuerKey)?.holds?.(leaf) === false
  }

  /** That of the lowest among the issuer and the CAs above it; a station's falls with the CA that it hangs of. */
  wordOf({ certificate, above }: TrustedIssuer): Own['word'] {
    const words = [certificate, ...above].map(({ subjectKey }) => this.#own.get(subjectKey)?.word ?? 'full')
    if (words.includes('nothing')) return 'nothing'
    return words.includes('renews') ? 'renews' : 'full'
  }

  /** Whether it is one of ours that is not believed any more, by whichever root it was certified. */
  isRetired({ subjectKey }: Pick<Certificate, 'subjectKey'>): boolean {
    return (this.#own.get(subjectKey)?.word ?? 'full') !== 'full'
  }

  /** The CAs from the issuer upwards, in every form that they have; `then`: or had. */
  pathFrom({ certificate, above, past = [] }: TrustedIssuer, then = false): Certificate[] {
    const path = [certificate, ...above, ...(then ? past : [])]
    const own = path.flatMap(({ subjectKey }) => this.#own.get(subjectKey) ?? [])
    return [...new Set([...path, ...own.flatMap(({ forms, past }) => (then ? [...forms, ...past] : forms))])]
  }

  /** Where a path from the issuer may end; `then`: for a certificate that is judged by what was so while it lived. */
  anchorsOf(issuer: TrustedIssuer, then = false): readonly Certificate[] {
    return this.wordOf(issuer) === 'full' && !then ? this.#roots : [...this.#roots, ...this.#formerRoots]
  }

  /** The fleet's own authorities have changed. Stations' stay. */
  setOwn({ roots, formerRoots, issuers }: OwnAuthorities): void {
    this.#roots = [...roots]
    this.#formerRoots = formerRoots
    this.#own = new Map(issuers.map((issuer) => [issuer.forms[0].subjectKey, issuer]))
  }

  add(issuer: TrustedIssuer): void {
    this.#added.set(issuer.certificate.subjectKey, issuer)
  }

  /** From now on nothing that it signed is believed. */
  remove(certificate: Certificate): void {
    this.#added.delete(certificate.subjectKey)
  }
}
