import { type Certificate, isSelfIssued, parseCertificate } from '#shared/pki/certificate.ts'
import { checkExpectedName, checkServerCommonName, type ExpectedName } from '#shared/pki/host-name.ts'
import { checkNameConstraints, comparisonLimit } from '#shared/pki/name-constraints.ts'
import { purposes } from '#shared/pki/oids.ts'
import { checkCertificate, checkIssuer, checkIssuerPurposes, checkLeaf, checkLink } from '#shared/pki/path-rules.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { verifySignature } from '#shared/pki/signature.ts'
import type { WallTime } from '#shared/time/instant.ts'

export type { ExpectedName } from '#shared/pki/host-name.ts'

/**
 * Path building and validation (RFC 5280 §6) for both ends: the agent judges the API's certificate with it, the broker its peers'. A
 * path is searched depth first from the leaf, anchors before intermediates; the first whole path that keeps every rule wins. Every
 * search has a budget of signatures, so that no heap of cross-signed certificates costs more than a few milliseconds. No URL in a
 * certificate is ever followed (A-40).
 */
export interface ChainOptions {
  /** Roots whose name and key are trusted; as certificates they must keep every rule too. */
  anchors: readonly Certificate[]
  now: WallTime
  /** Key purposes (OIDs) that the leaf must have, all of them; issuers that list purposes must list them too. */
  purposes: readonly string[]
  /** Bits of KeyUsage that the leaf must have. */
  keyUsage?: number
  /** The server's or user's name, matched against subject alternative names. */
  expectedName?: ExpectedName
  isRevoked?(certificate: Certificate): boolean
  /** Intermediates at most between leaf and root, self-issued ones not counted; 4 unless said otherwise. */
  maxDepth?: number
  /** Signatures verified at most; 64 unless said otherwise. */
  signatureBudget?: number
}

const defaults = { maxDepth: 4, signatureBudget: 64 }
/** Certificates in one path at most, self-issued ones included. */
const pathLimit = 16
/** Signatures that were found good, for as long as both certificates are held: a broker's own CAs are verified once. */
const proven = new WeakMap<Certificate, WeakSet<Certificate>>()
/** Steps of the search at most: comparing names costs little, but not nothing. */
const stepLimit = 10_000

/** The path that was proven: leaf first, anchor last. Throws PkiError: of the most telling path that was tried. */
export function verifyChain(leaf: Certificate, intermediates: readonly Certificate[], options: ChainOptions): Certificate[] {
  return new PathSearch(intermediates, options).from(leaf)
}

/**
 * Certificates as a peer sends them: leaf first, then helpers in any order. A helper that cannot be read is left out (it may be meant for
 * others); a leaf that cannot be read throws PkiError. `parse`: that of a `KnownCertificates`, where there is one.
 */
export function parseChain(
  chain: readonly Uint8Array[],
  parse: (der: Uint8Array) => Certificate = parseCertificate,
): { leaf: Certificate; intermediates: Certificate[] } {
  const [first, ...rest] = chain
  if (first === undefined) throw new PkiError('certificate-malformed', 'no certificate')
  if (rest.length > pathLimit) throw new PkiError('too-large', `a chain of ${chain.length} certificates`)
  const intermediates = rest.flatMap((der) => {
    try {
      return [parse(der)]
    } catch (error) {
      if (error instanceof PkiError) return []
      throw error
    }
  })
  return { leaf: parse(first), intermediates }
}

class PathSearch {
  readonly #options: ChainOptions
  readonly #intermediates: readonly Certificate[]
  readonly #maxDepth: number
  /** Verdicts on (child, issuer): a certificate that several paths share is verified once. */
  readonly #verdicts = new Map<Certificate, Map<Certificate, boolean>>()
  #signaturesLeft: number
  #stepsLeft = stepLimit
  #refusal: PkiError | undefined

  constructor(intermediates: readonly Certificate[], options: ChainOptions) {
    this.#options = options
    this.#intermediates = intermediates
    this.#maxDepth = options.maxDepth ?? defaults.maxDepth
    this.#signaturesLeft = options.signatureBudget ?? defaults.signatureBudget
  }

  from(leaf: Certificate): Certificate[] {
    const { purposes: wanted, expectedName, now, isRevoked } = this.#options
    checkCertificate(leaf, now)
    checkLeaf(leaf, { purposes: wanted, keyUsage: this.#options.keyUsage ?? 0 })
    if (wanted.includes(purposes.serverAuth)) checkServerCommonName(leaf)
    if (expectedName !== undefined) checkExpectedName(leaf, expectedName)
    if (isRevoked?.(leaf)) throw new PkiError('revoked', 'the certificate is revoked')
    const path = this.#extend([leaf], 0)
    if (path !== undefined) return path
    throw this.#refusal ?? new PkiError('issuer-unknown', 'no path leads to a trusted root')
  }

  /** `path` grown to an anchor, or undefined. `depth`: intermediates in it that count. */
  #extend(path: readonly Certificate[], depth: number): Certificate[] | undefined {
    const child = path.at(-1) as Certificate
    for (const anchor of this.#options.anchors) {
      if (anchor.subjectKey !== child.issuerKey || path.includes(anchor) || !this.#signed(child, anchor)) continue
      const whole = [...path, anchor]
      if (this.#accepts(whole)) return whole
    }
    for (const issuer of this.#intermediates) {
      if (issuer.subjectKey !== child.issuerKey || isIn(path, issuer)) continue
      const deeper = depth + (isSelfIssued(issuer) ? 0 : 1)
      if (deeper > this.#maxDepth || path.length >= pathLimit) {
        this.#refusal ??= new PkiError('path-too-deep', `more than ${this.#maxDepth} intermediates`)
        continue
      }
      if (!this.#mayIssue(child, issuer) || !this.#signed(child, issuer)) continue
      const found = this.#extend([...path, issuer], deeper)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** The cheap rules before a signature is paid for. */
  #mayIssue(child: Certificate, issuer: Certificate): boolean {
    return this.#keeps(() => {
      this.#step()
      checkCertificate(issuer, this.#options.now)
      checkIssuer(issuer, false)
      checkLink(child, issuer)
    })
  }

  #signed(child: Certificate, issuer: Certificate): boolean {
    this.#step()
    if (child.signatureAlgorithm === undefined) {
      this.#refusal ??= new PkiError('algorithm-unsupported', 'a signature algorithm that is not accepted')
      return false
    }
    if (proven.get(child)?.has(issuer)) return true
    const known = this.#verdicts.get(child) ?? new Map<Certificate, boolean>()
    this.#verdicts.set(child, known)
    let verdict = known.get(issuer)
    if (verdict === undefined) {
      if (this.#signaturesLeft <= 0) throw new PkiError('budget-exhausted', 'too many signatures to verify')
      this.#signaturesLeft -= 1
      verdict = verifySignature(child.signatureAlgorithm, issuer.publicKey, child.tbs, child.signature)
      known.set(issuer, verdict)
      if (verdict) remember(child, issuer)
    }
    if (!verdict) this.#refusal ??= new PkiError('signature-invalid', 'a signature that is not by the issuer’s key')
    return verdict
  }

  #step(): void {
    this.#stepsLeft -= 1
    if (this.#stepsLeft < 0) throw new PkiError('budget-exhausted', 'too many candidate paths')
  }

  #accepts(path: readonly Certificate[]): boolean {
    return this.#keeps(() => checkPath(path, this.#options))
  }

  /** False with the reason kept where a rule is broken; a spent budget ends the search. */
  #keeps(rules: () => void): boolean {
    try {
      rules()
      return true
    } catch (error) {
      if (!(error instanceof PkiError) || error.code === 'budget-exhausted') throw error
      this.#refusal = error
      return false
    }
  }
}

function remember(child: Certificate, issuer: Certificate): void {
  const issuers = proven.get(child) ?? new WeakSet<Certificate>()
  proven.set(child, issuers.add(issuer))
}

/** All rules on a whole path, root first (RFC 5280 §6.1.3 to §6.1.5). The leaf's own were checked when the search began. */
function checkPath(path: readonly Certificate[], options: ChainOptions): void {
  const budget = { left: comparisonLimit }
  let mayFollow = Number.POSITIVE_INFINITY
  for (let i = path.length - 1; i >= 1; i--) {
    const issuer = path[i] as Certificate
    const child = path[i - 1] as Certificate
    const anchor = i === path.length - 1
    checkCertificate(issuer, options.now, anchor)
    checkIssuer(issuer, anchor)
    checkLink(child, issuer)
    if (options.isRevoked?.(issuer)) throw new PkiError('revoked', 'an issuer is revoked')
    if (!anchor) {
      checkIssuerPurposes(issuer, options.purposes)
      if (!isSelfIssued(issuer)) mayFollow -= 1
      if (mayFollow < 0) throw new PkiError('path-length', 'more intermediates than a CA above allows')
    }
    mayFollow = Math.min(mayFollow, issuer.extensions.basicConstraints?.pathLength ?? Number.POSITIVE_INFINITY)
    for (let below = i - 1; below >= 0; below--) {
      const certificate = path[below] as Certificate
      // Self-issued intermediates are the same CA under a new key; a leaf is always judged.
      if (below > 0 && isSelfIssued(certificate)) continue
      checkNameConstraints(certificate, issuer, budget)
    }
  }
}

/** The same name and key again would be a loop. */
const isIn = (path: readonly Certificate[], issuer: Certificate): boolean =>
  path.some((c) => c === issuer || (c.subjectKey === issuer.subjectKey && Buffer.compare(c.spki, issuer.spki) === 0))
