import type { CaFiles, IssuingFiles } from '#broker/identity/ca-files.ts'
import { type Line, type Phase, phases, presentRoot, type Rotation } from '#broker/identity/succession.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import type { Role } from '#shared/pki/roles.ts'

/** An issuing CA, and how far its word goes. */
export interface StandingCa {
  readonly role: Role
  readonly stem: string
  /** By each root that is trusted, that which issues first. Of a former CA the one that there is. */
  readonly forms: readonly [Certificate, ...Certificate[]]
  /** By roots of before: they prove what was signed in their time. */
  readonly past: readonly Certificate[]
  /** `renews`: its holders may renew and do nothing else. `nothing`: nobody believes it. */
  readonly word: 'full' | 'renews' | 'nothing'
}

/** Links that the broker sends with its chain at most, each with its root: TLS clients of ours look at 17 certificates. */
const tailLimit = 7

/** What the state of succession means at this moment: who is trusted, who issues. Pure. */
export class CaStanding {
  readonly #files: CaFiles

  constructor(files: CaFiles) {
    this.#files = files
  }

  get rotation(): Rotation | undefined {
    return this.#files.succession.rotation
  }

  /** The one that claims pin: the former one until it is retired, since from there everyone finds the way. */
  get pinnedRoot(): Certificate {
    return this.#root(this.#isFrom('root', 'retired') ? this.#nextRoot : presentRoot(this.#files.succession))
  }

  /** The one that chains lead to. */
  get issuingRoot(): Certificate {
    return this.#root(this.#issuingStem)
  }

  /** Trusted at this moment, that which is pinned first. */
  get trustedRoots(): readonly Certificate[] {
    const both = this.#isFrom('root', 'trusted') && !this.#isFrom('root', 'retired')
    return both ? [this.pinnedRoot, this.#root(this.#nextRoot)] : [this.pinnedRoot]
  }

  /** Every root that was ever trusted, the first one first. */
  get knownRoots(): readonly Certificate[] {
    return this.#publishedStems.map((stem) => this.#root(stem))
  }

  /** The certificates by which one root leads to another: those that were ever published and still are. */
  get links(): readonly Certificate[] {
    const { links, back } = this.#files
    const forward = this.#publishedStems.flatMap((stem) => links.get(stem) ?? [])
    return back !== undefined && this.rotation?.wasRetired ? [...forward, back] : forward
  }

  /** Who issues for the role. */
  issuing(role: Role): Ca {
    const ca = this.#issuing(role)
    return { certificate: ca.forms.get(this.#issuingStem) as Certificate, pair: ca.pair as Ca['pair'] }
  }

  /** The beginning of the names of its files, and of what outsiders call it. */
  issuingStem(role: Role): string {
    return this.#issuing(role).stem
  }

  /** Every issuing CA that was ever made, with its word. */
  get authorities(): readonly StandingCa[] {
    return [...this.#files.issuing.values()].map((ca) => ({
      role: ca.role,
      stem: ca.stem,
      forms: this.#trustedForms(ca),
      past: ca.past,
      word: this.#wordOf(ca),
    }))
  }

  /** Issuing CAs whose keys are here. */
  get held(): readonly { readonly role: Role; readonly stem: string; readonly ca: Ca }[] {
    return [...this.#files.issuing.values()].flatMap((ca) => {
      const [certificate] = this.#trustedForms(ca)
      return ca.pair === undefined ? [] : [{ role: ca.role, stem: ca.stem, ca: { certificate, pair: ca.pair } }]
    })
  }

  /**
   * What the broker sends after its own certificate: the issuing CA, the links from its root down to the first, and the roots, so that who
   * trusts a former one, or knows no more than the fingerprint of one, finds it. Links come before the roots that they lead to: OpenSSL takes
   * the first issuer that fits, and a root of ours that it does not trust would end its path.
   */
  get serverTail(): readonly Certificate[] {
    const { links, back } = this.#files
    const stems = this.#publishedStems
    const at = stems.indexOf(this.#issuingStem)
    const steps = stems.slice(Math.max(0, at - tailLimit), at + 1)
    const down = steps.slice(1).reverse()
    const isBack = back !== undefined && this.rotation?.wasRetired === true && !this.#isFrom('root', 'issuing')
    return [
      this.issuing('api').certificate,
      ...(isBack ? [back] : []),
      ...down.map((stem) => links.get(stem) as Certificate),
      ...[...steps, ...(isBack ? [this.#nextRoot] : [])].map((stem) => this.#root(stem)),
    ]
  }

  /** Whether that line is being rotated, and has come to this phase at the least. */
  #isFrom(line: Line, phase: Phase): boolean {
    const { rotation } = this
    return rotation?.line === line && phases.indexOf(rotation.phase) >= phases.indexOf(phase)
  }

  #issuing(role: Role): IssuingFiles {
    const stem = this.#isFrom(role, 'issuing') ? (this.rotation as Rotation).next : this.#files.succession.present[role]
    return this.#files.issuing.get(stem) as IssuingFiles
  }

  #wordOf({ role, stem }: IssuingFiles): StandingCa['word'] {
    const { present, former } = this.#files.succession
    const before = former.find((ca) => ca.stem === stem)
    if (before !== undefined) return before.compromised ? 'nothing' : 'renews'
    if (stem !== present[role]) return this.#isFrom(role, 'trusted') ? 'full' : 'nothing'
    if (!this.#isFrom(role, 'retired')) return 'full'
    return this.rotation?.compromised ? 'nothing' : 'renews'
  }

  #trustedForms({ forms }: IssuingFiles): StandingCa['forms'] {
    const stems = [this.#issuingStem, presentRoot(this.#files.succession)]
    if (this.#isFrom('root', 'trusted')) stems.push(this.#nextRoot)
    const found = [...new Set(stems)].flatMap((stem) => forms.get(stem) ?? [])
    return (found.length > 0 ? found : [...forms.values()]) as unknown as StandingCa['forms']
  }

  get #issuingStem(): string {
    return this.#isFrom('root', 'issuing') ? this.#nextRoot : presentRoot(this.#files.succession)
  }

  /** Roots that were ever shown to anybody: the next one from when it is trusted. */
  get #publishedStems(): readonly string[] {
    const { roots } = this.#files.succession
    return this.#isFrom('root', 'trusted') || this.rotation?.wasRetired ? this.#withNext(roots) : roots
  }

  #withNext(roots: readonly string[]): readonly string[] {
    return this.rotation?.line === 'root' ? [...roots, this.#nextRoot] : roots
  }

  get #nextRoot(): string {
    return (this.rotation as Rotation).next
  }

  #root(stem: string): Certificate {
    return this.#files.roots.get(stem) as Certificate
  }
}
