import type { TrustedIssuers } from '#broker/identity/trusted-issuers.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { isAditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { parseChain, verifyChain } from '#shared/pki/chain.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import type { KnownCertificates } from '#shared/pki/known-certificates.ts'
import { names, purposes, rolePurposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type PeerRole, roles, subjectUri } from '#shared/pki/roles.ts'
import { days, type WallTime } from '#shared/time/instant.ts'

/** What a verified client certificate says. Revocation is the registry's to judge: by `spkiSha256Hex`, and (`issuerHex`, `serialHex`). */
export interface Peer {
  role: PeerRole
  name: string
  spkiSha256Hex: string
  serialHex: string
  /** SHA-256 of the issuing CA's SPKI. */
  issuerHex: string
  notAfter: WallTime
  /** True only where `allowExpiredDays` let one pass that is expired, or by a retired CA: it may renew, and nothing else. */
  expired: boolean
  /** 32 bytes. */
  tunnelKey?: Uint8Array
}

export interface PeerTrust {
  issuers: TrustedIssuers
  suite: Suite
  /** Leaves that were good the last time; revocation and times are judged anew. */
  known: KnownCertificates
}

/** CAs between a leaf and the root at most: that of a role, and below it that of a station. */
const deepest = 2

/**
 * Judges a client's certificate against our own issuing CAs alone: helpers that the client sends are not looked at, so a leaf that plays
 * an issuer is never even considered. Throws PkiError.
 */
export function judgePeer(chain: readonly Uint8Array[], trust: PeerTrust, now: WallTime, allowExpiredDays = 0): Peer {
  const [der] = chain
  if (der === undefined) throw new PkiError('certificate-malformed', 'no certificate')
  const leaf = parseCertificate(der)
  const issuer = trust.issuers.of(leaf)
  if (issuer === undefined) throw new PkiError('issuer-unknown', 'issued by none of this fleet’s authorities')
  const { role } = issuer
  // What a retired CA signed is as good as expired: its key was not lost, and who holds such a certificate may ask for another.
  const isRetired = trust.issuers.wordOf(issuer) !== 'full'
  if (isRetired && allowExpiredDays <= 0) throw new PkiError('issuer-unknown', 'issued by an authority that is retired')
  const isOver = now > leaf.notAfter && now <= leaf.notAfter + days(allowExpiredDays)
  // Roots and CAs that have ended or were followed since certify no more than what our own CA has signed: whom it signed for was ours.
  verifyChain(leaf, trust.issuers.pathFrom(issuer, isOver || isRetired), {
    anchors: trust.issuers.anchorsOf(issuer, isOver),
    // In the renew-only lane a certificate is judged at its last moment: everything else about it must still be right.
    now: isOver ? leaf.notAfter : now,
    purposes: [purposes.clientAuth, rolePurposes[role]],
    keyUsage: KeyUsage.digitalSignature,
    maxDepth: deepest,
  })
  if (leaf.publicKey.kind !== 'p256') throw new PkiError('key-unsupported', 'an identity key that is not of P-256')
  const { tunnelKey } = leaf.extensions
  if (leaf.extensions.subjectAltNames?.names.length !== 1) throw otherNames()
  return {
    ...peerOf(leaf, issuer.certificate, role, trust),
    expired: isOver || isRetired,
    ...(tunnelKey && { tunnelKey: Uint8Array.from(tunnelKey) }),
  }
}

/** Signatures that one stranger's chain may cost. */
const signatureBudget = 8

/**
 * Judges an IKE peer's chain, leaf first. Beside what agents have, stock peers' certificates are for keys of other kinds and name their
 * peer by a host name too; an issuer of theirs may be another CA right under our root, sent along, that lends their role. Throws PkiError.
 */
export function judgeIkePeer(
  chain: readonly Uint8Array[],
  trust: PeerTrust,
  now: WallTime,
): { certificate: Certificate; peer: Peer } {
  const { leaf, intermediates } = parseChain(chain, trust.known.parse)
  const role = lentRole(leaf)
  const ours = [...trust.issuers].map(({ certificate }) => certificate)
  const path = verifyChain(leaf, [...ours, ...intermediates], {
    anchors: trust.issuers.roots,
    now,
    purposes: [purposes.clientAuth, rolePurposes[role]],
    keyUsage: KeyUsage.digitalSignature,
    maxDepth: deepest,
    signatureBudget,
  })
  const issuer = path[1] as Certificate
  // The root signs CAs, and nobody else.
  if (trust.issuers.roots.includes(issuer)) throw new PkiError('issuer-unknown', 'issued by the root itself')
  // The peer may have sent what we left out.
  if (trust.issuers.isClosedTo(leaf) || path.some((certificate) => trust.issuers.isRetired(certificate)))
    throw new PkiError('issuer-unknown', 'issued by an authority that is retired')
  trust.known.keep(leaf)
  return { certificate: leaf, peer: { ...peerOf(leaf, issuer, role, trust), expired: false } }
}

/** Of a leaf by one of our own issuing CAs that `judgeIkePeer` has found good before; undefined where its time is over. */
export function judgedIkePeer(leaf: Certificate, trust: PeerTrust, now: WallTime): Peer | undefined {
  const role = lentRole(leaf)
  const issuer = trust.issuers.of(leaf)
  if (issuer?.role !== role || now > leaf.notAfter || trust.issuers.wordOf(issuer) !== 'full') return undefined
  return { ...peerOf(leaf, issuer.certificate, role, trust), expired: false }
}

/** The one role among the leaf's key purposes; its issuer then has to lend that one. */
function lentRole(leaf: Certificate): PeerRole {
  const own = leaf.extensions.purposes?.oids ?? []
  const [role, ...others] = roles.filter((name): name is PeerRole => name !== 'api' && own.includes(rolePurposes[name]))
  if (role === undefined || others.length > 0) throw new PkiError('purpose', 'an end entity without exactly one role')
  return role
}

const peerOf = (leaf: Certificate, issuer: Certificate, role: PeerRole, { suite }: PeerTrust): Omit<Peer, 'expired'> => ({
  role,
  name: nameOf(leaf, role),
  spkiSha256Hex: toHex(suite.hash('sha256', leaf.spki)),
  serialHex: leaf.serialHex,
  issuerHex: toHex(suite.hash('sha256', issuer.spki)),
  notAfter: leaf.notAfter,
})

/** One common name, and among the alternative names one URI, which must say the same. */
function nameOf(leaf: Certificate, role: PeerRole): string {
  const [name, ...others] = valuesOf(leaf.subjectName, names.commonName)
  if (name === undefined || others.length > 0 || leaf.subjectName.flat().length !== 1) {
    throw new PkiError('identity-malformed', 'a subject that is not exactly one common name')
  }
  const alternatives = leaf.extensions.subjectAltNames?.names ?? []
  const [uri, ...uris] = alternatives.filter(({ kind }) => kind === 'uri')
  if (uris.length > 0 || uri?.kind !== 'uri' || uri.value !== subjectUri(role, name)) throw otherNames()
  try {
    if (checkName(name) === name) return name
  } catch (error) {
    if (!isAditError(error)) throw error
  }
  throw new PkiError('identity-malformed', 'a name that is not allowed')
}

const otherNames = (): PkiError =>
  new PkiError('identity-malformed', 'alternative names other than the one that the subject and role demand')
