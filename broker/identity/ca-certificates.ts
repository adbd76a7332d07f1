import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import {
  authorityKeyId,
  caConstraints,
  fleetName,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  type PublicPlaces,
  publicPlaces,
  subjectKeyId,
  writeCertificate,
} from '#shared/pki/certificate-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { purposes, rolePurposes } from '#shared/pki/oids.ts'
import { type Ca, newSerial } from '#shared/pki/peer-leaf.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import type { Role } from '#shared/pki/roles.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import { days, minutes, type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * What the certificates of authorities say: of roots, of the links between them, and of the issuing CAs.
 *
 * All roots of a fleet have one name, so that a link, by which one certifies the next, is self-issued and takes no part of the path length
 * (RFC 5280 §4.2.1.9): a path from an issuing CA to the first root may lead over any number of links.
 */

/** Root and issuing CAs live this long, in days (20 years): their succession is a rotation, not a renewal. */
const caDays = 7305
/** What leads back to a former root after a roll-back lives no longer than that is needed. */
const backDays = 366
/** How far before now a certificate begins, so that a peer whose clock is a little late takes it at once. */
const backDated = minutes(5)
/** Under a root stand the CAs of roles, under that of devices those of stations. */
const rootPathLength = 2

export function makeRoot(now: WallTime, suite: Suite): Ca {
  return writeRoot(commonName(`adit root ${toHex(suite.random(4))}`), [], now, suite)
}

/** A new root of the same fleet. */
export function makeNextRoot(former: Certificate, now: WallTime, suite: Suite): Ca {
  return writeRoot(former.subject, [fleetName(fleetIdOf(former, suite))], now, suite)
}

function writeRoot(name: Uint8Array, more: readonly Uint8Array[], now: WallTime, suite: Suite): Ca {
  const pair = suite.ecdsaP256.generate()
  const spki = p256Spki(pair.publicKey)
  const own = [caConstraints(rootPathLength), signsOnly, subjectKeyId(keyIdentifier(spki, suite))]
  const names = { issuer: name, subject: name, ...life(now, caDays) }
  const der = writeCertificate({ serial: newSerial(suite), ...names, spki, extensions: [...own, ...more] }, pair, suite)
  return { certificate: parseCertificate(der), pair }
}

/**
 * `root` says that the name and key of `other` are a root too: DER. `back`: of a former root, by the one that follows it. It ends with the
 * root that it is of, though its own signer ends before: of two ways upwards OpenSSL takes the one that lasts, and would end at a root that
 * it does not know.
 */
export function writeLink(root: Ca, other: Certificate, now: WallTime, suite: Suite, { back = false } = {}): Uint8Array {
  const { notBefore, notAfter } = life(now, backDays)
  const end = back ? wallTime(Math.min(notAfter, other.notAfter)) : other.notAfter
  return writeCertificate(
    {
      serial: newSerial(suite),
      issuer: root.certificate.subject,
      subject: other.subject,
      notBefore,
      notAfter: end,
      spki: other.spki,
      extensions: [
        caConstraints(rootPathLength),
        signsOnly,
        subjectKeyId(keyIdentifier(other.spki, suite)),
        authorityKeyId(keyIdentifier(root.certificate.spki, suite)),
      ],
    },
    root.pair,
    suite,
  )
}

/** The name of a new issuing CA; that of one that is certified once more stays. */
export const newCaName = (role: Role, suite: Suite): string => `adit ${role} CA ${toHex(suite.random(4))}`

export function makeIssuingCa(role: Role, root: Ca, now: WallTime, suite: Suite, pkiUrl?: string): Ca {
  const pair: KeyPair = suite.ecdsaP256.generate()
  const holder = { subject: commonName(newCaName(role, suite)), spki: p256Spki(pair.publicKey) }
  return { certificate: parseCertificate(writeIssuingCa(role, holder, root, now, suite, pkiUrl)), pair }
}

/**
 * `holder`: name DER and SubjectPublicKeyInfo DER of the issuing CA. `pkiUrl`: where outsiders find the root's certificate and list, without a
 * slash at its end; the root answers no OCSP, since its key is seldom there.
 */
export function writeIssuingCa(
  role: Role,
  { subject, spki }: Pick<Certificate, 'subject' | 'spki'>,
  root: Ca,
  now: WallTime,
  suite: Suite,
  pkiUrl?: string,
): Uint8Array {
  const lent = role === 'api' ? [purposes.serverAuth] : [purposes.clientAuth, rolePurposes[role]]
  // Both kinds of server and every role of peer may also speak IKE.
  lent.push(purposes.ipsecIke)
  // The CAs of stations say who answers for their units (broker/outsiders).
  if (role === 'device') lent.push(purposes.ocspSigning)
  return writeCertificate(
    {
      serial: newSerial(suite),
      issuer: root.certificate.subject,
      subject,
      ...life(now, caDays, root),
      spki,
      extensions: [
        // Under the CA of devices stand those of stations.
        caConstraints(role === 'device' ? 1 : 0),
        signsOnly,
        keyPurposes(...lent),
        subjectKeyId(keyIdentifier(spki, suite)),
        authorityKeyId(keyIdentifier(root.certificate.spki, suite)),
        ...(pkiUrl === undefined ? [] : publicPlaces(placesBelow(pkiUrl, rootStem(root.certificate, suite)))),
      ],
    },
    root.pair,
    suite,
  )
}

/** The beginning of the names of a root's files, and what outsiders call it: the first root of a fleet is `root`. */
export const rootStem = (root: Certificate, suite: Suite): string =>
  root.extensions.fleet === undefined ? 'root' : `root-${rootName(root, suite).slice(0, 8)}`

/** `url`: without a slash at its end; `stem`: of the authority that signs. */
export const placesBelow = (url: string, stem: string): PublicPlaces => ({
  crl: `${url}/pki/${stem}.crl`,
  issuer: `${url}/pki/${stem}.crt`,
})

const signsOnly = keyUsage(KeyUsage.keyCertSign | KeyUsage.crlSign)

/** From a little before `now`, for so many days, never beyond the life of the CA: a path would end there anyway. */
export function life(now: WallTime, lifeDays: number, ca?: Ca): { notBefore: WallTime; notAfter: WallTime } {
  const end = now + days(lifeDays)
  return {
    notBefore: wallTime(Math.max(now - backDated, ca?.certificate.notBefore ?? 0)),
    notAfter: wallTime(Math.min(end, ca?.certificate.notAfter ?? end)),
  }
}
