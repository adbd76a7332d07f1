import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { type ExpectedName, parseChain, verifyChain } from '#shared/pki/chain.ts'
import { expectedHost } from '#shared/pki/host-name.ts'
import { purposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'

/** What a client trusts: the root's certificate, or only its SHA-256 (from a claim), where the server sends the root with its chain. */
export type Trust = { rootFingerprint: Uint8Array } | { rootDer: Uint8Array }

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
  const root = findRoot(intermediates, trust, suite)
  const path = serverPath(leaf, intermediates, root, floor, expectedHost(host))
  return { rootDer: Uint8Array.from(root.der), notBefore: latestBeginning(path, 0) }
}

/**
 * The path from a server to `root`, for a client that may not know what time it is (DESIGN D5). `floor` is a time that has passed for
 * certain, so a certificate that ended before it has expired. One that begins after it proves nothing but that more time has passed than
 * we knew: the path is then judged at the latest beginning of what was sent. Throws PkiError.
 */
export function serverPath(
  leaf: Certificate,
  sent: readonly Certificate[],
  root: Certificate,
  floor: WallTime,
  expectedName?: ExpectedName,
): Certificate[] {
  const helpers = sent.filter((certificate) => !equalPublic(certificate.der, root.der))
  return verifyChain(leaf, helpers, {
    anchors: [root],
    now: latestBeginning([leaf, ...helpers, root], floor),
    purposes: [purposes.serverAuth],
    ...(expectedName && { expectedName }),
  })
}

const latestBeginning = (certificates: readonly Certificate[], floor: number): WallTime =>
  wallTime(certificates.reduce((time, { notBefore }) => Math.max(time, notBefore), floor))

function findRoot(sent: readonly Certificate[], trust: Trust, suite: Suite): Certificate {
  if ('rootDer' in trust) return parseCertificate(trust.rootDer)
  const root = sent.find((certificate) => equalPublic(suite.hash('sha256', certificate.der), trust.rootFingerprint))
  if (root === undefined) throw new PkiError('issuer-unknown', 'the root that the fingerprint names was not sent')
  return root
}
