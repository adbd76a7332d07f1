import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { type ExpectedName, parseChain, verifyChain } from '#shared/pki/chain.ts'
import { expectedHost } from '#shared/pki/host-name.ts'
import { purposes, rolePurposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * What a client trusts: the certificate of a root or of several, or only a SHA-256 (from a claim), where the server sends the root with its
 * chain. A root that was followed by others leads to them over the links that the server sends (shared/pki/root-succession.ts).
 * `station`: under that root no API, but a station of the fleet, whose certificate names no host: a board asks whichever answers on its LAN.
 */
export type Trust = { rootFingerprint: Uint8Array; station?: true } | { rootDer: Uint8Array } | { roots: readonly Uint8Array[] }

export interface ServerProof {
  /** DER of the root that the chain led to. */
  rootDer: Uint8Array
  /** The latest beginning of a certificate in the path: it is at least this late, says the CA. */
  notBefore: WallTime
}

/**
 * Judges a server's chain (DER, leaf first, as sent) by `serverPath`. Throws PkiError; `issuer-unknown` where the chain does not lead to the
 * trusted root.
 */
export function judgeServer(
  chain: readonly Uint8Array[],
  host: string,
  trust: Trust,
  floor: WallTime,
  suite: Suite,
): ServerProof {
  const { leaf, intermediates } = parseChain(chain)
  const roots = findRoots(intermediates, trust, suite)
  const path =
    'station' in trust
      ? serverPath(leaf, intermediates, roots, floor, undefined, rolePurposes.station)
      : serverPath(leaf, intermediates, roots, floor, expectedHost(host))
  const root = path.at(-1) as Certificate
  return { rootDer: Uint8Array.from(root.der), notBefore: latestBeginning(path, 0) }
}

/**
 * The path from a server to one of `roots`, for a client that may not know what time it is (DESIGN D5). `floor` is a time that has passed for
 * certain, so a certificate that ended before it has expired. One that begins after it proves nothing but that more time has passed than
 * we knew: the path is then judged at the latest beginning of what was sent. Throws PkiError.
 */
export function serverPath(
  leaf: Certificate,
  sent: readonly Certificate[],
  roots: readonly Certificate[],
  floor: WallTime,
  expectedName?: ExpectedName,
  purpose: string = purposes.serverAuth,
): Certificate[] {
  const helpers = sent.filter(({ der }) => !roots.some((root) => equalPublic(der, root.der)))
  return verifyChain(leaf, helpers, {
    anchors: roots,
    now: latestBeginning([leaf, ...helpers, ...roots], floor),
    purposes: [purpose],
    ...(expectedName && { expectedName }),
  })
}

const latestBeginning = (certificates: readonly Certificate[], floor: number): WallTime =>
  wallTime(certificates.reduce((time, { notBefore }) => Math.max(time, notBefore), floor))

function findRoots(sent: readonly Certificate[], trust: Trust, suite: Suite): Certificate[] {
  if ('roots' in trust) return trust.roots.map((der) => parseCertificate(der))
  if ('rootDer' in trust) return [parseCertificate(trust.rootDer)]
  const root = sent.find((certificate) => equalPublic(suite.hash('sha256', certificate.der), trust.rootFingerprint))
  if (root === undefined) throw new PkiError('issuer-unknown', 'the root that the fingerprint names was not sent')
  return [root]
}
