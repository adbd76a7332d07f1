import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Certificate, isSelfIssued, isSignedBy, parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { checkCertificate, checkIssuer, checkLink } from '#shared/pki/path-rules.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { WallTime } from '#shared/time/instant.ts'

/**
 * How the roots of a fleet follow one another. A new root is certified by the one before it ("new with old", RFC 4210 §4.4): a link is
 * that certificate, of the new root's name and key, signed by the old root. Who trusts one root walks along links to the next.
 *
 *   root 1 --link--> root 2 --link--> root 3        the roots themselves are self-signed, and of one name
 *
 * The order in which links come means nothing: each is judged by itself, and leads only on from a root that is trusted already.
 */
export interface RootSuccession {
  /** DER of roots, self-signed, in any order. */
  readonly roots: readonly Uint8Array[]
  /** DER of links, in any order. */
  readonly links: readonly Uint8Array[]
}

/** Roots and links at most that are looked at: a fleet has one every few years. */
const limit = 64

/**
 * Every root that `trusted` leads to at `now`, itself first, each once. What cannot be read, is not signed by a root reached, or is of
 * another fleet leads nowhere, and does not stop what is good.
 */
export function reachableRoots(
  trusted: readonly Certificate[],
  { roots, links }: RootSuccession,
  now: WallTime,
  suite: Suite,
): Certificate[] {
  const candidates = roots.slice(0, limit).flatMap(readable).filter(isOwnRoot)
  const steps = links.slice(0, limit).flatMap(readable)
  const reached = [...trusted]
  for (let at = 0; at < reached.length; at++) {
    const from = reached[at] as Certificate
    for (const link of steps) {
      if (!certifies(from, link, now)) continue
      for (const root of candidates) {
        if (reached.some((known) => equalPublic(known.der, root.der))) continue
        if (isOf(link, root) && inOneFleet(from, root, suite)) reached.push(root)
      }
    }
  }
  return reached
}

/** SHA-256 of a root's certificate, hex: what pins it. */
export const rootName = (root: Pick<Certificate, 'der'>, suite: Suite): string => toHex(suite.hash('sha256', root.der))

/** Whether `root`, at `now`, has signed that the name and key of `link` are a root. */
function certifies(root: Certificate, link: Certificate, now: WallTime): boolean {
  if (link.issuerKey !== root.subjectKey) return false
  try {
    checkCertificate(root, now, true)
    checkIssuer(root, true)
    checkCertificate(link, now)
    checkIssuer(link, false)
    checkLink(link, root)
  } catch (error) {
    if (error instanceof PkiError) return false
    throw error
  }
  return isSignedBy(link, root)
}

/** Whoever holds the key of a link has made this root of it. */
const isOf = (link: Certificate, root: Certificate): boolean =>
  link.subjectKey === root.subjectKey && equalPublic(link.spki, root.spki)

const inOneFleet = (one: Certificate, other: Certificate, suite: Suite): boolean =>
  equalPublic(fleetIdOf(one, suite), fleetIdOf(other, suite))

/** A root signs itself: what it says beside name and key, which a link does not repeat, is then its holder's word. */
const isOwnRoot = (root: Certificate): boolean => isSelfIssued(root) && isSignedBy(root, root)

function readable(der: Uint8Array): Certificate[] {
  try {
    return [parseCertificate(der)]
  } catch (error) {
    if (error instanceof PkiError) return []
    throw error
  }
}
