import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import {
  authorityKeyId,
  caConstraints,
  hostNames,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  subjectKeyId,
  tunnelKey,
  uriName,
  writeCertificate,
} from '#shared/pki/certificate-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { purposes, rolePurposes } from '#shared/pki/oids.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { type PeerRole, type Role, subjectUri } from '#shared/pki/roles.ts'
import { days, minutes, type WallTime, wallTime } from '#shared/time/instant.ts'

/** Root and issuing CAs live this long, in days (20 years): their succession is a rollover, not a renewal. */
const caDays = 7305
/** How far before now a certificate begins, so that a peer whose clock is a little late takes it at once. */
const backDated = minutes(5)
/** Random bytes of a serial number (RFC 5280 allows 20 with the sign). */
const serialLength = 16

/** A certificate authority of the fleet with its key: the root, or the issuing CA of one role. */
export interface Ca {
  readonly certificate: Certificate
  readonly pair: KeyPair
}

export function makeRoot(now: WallTime, suite: Suite): Ca {
  const pair = suite.ecdsaP256.generate()
  const spki = p256Spki(pair.publicKey)
  const name = commonName(`adit root ${toHex(suite.random(4))}`)
  const der = writeCertificate(
    {
      serial: newSerial(suite),
      issuer: name,
      subject: name,
      ...life(now, caDays),
      spki,
      extensions: [caConstraints(1), keyUsage(KeyUsage.keyCertSign | KeyUsage.crlSign), subjectKeyId(keyIdentifier(spki, suite))],
    },
    pair,
    suite,
  )
  return { certificate: parseCertificate(der), pair }
}

export function makeIssuingCa(role: Role, root: Ca, now: WallTime, suite: Suite): Ca {
  const pair = suite.ecdsaP256.generate()
  const spki = p256Spki(pair.publicKey)
  const lent = role === 'api' ? [purposes.serverAuth] : [purposes.clientAuth, rolePurposes[role]]
  // Both kinds of server and every role of peer may also speak IKE.
  lent.push(purposes.ipsecIke)
  const der = writeCertificate(
    {
      serial: newSerial(suite),
      issuer: root.certificate.subject,
      subject: commonName(`adit ${role} CA ${toHex(suite.random(4))}`),
      ...life(now, caDays),
      spki,
      extensions: [
        caConstraints(0),
        keyUsage(KeyUsage.keyCertSign | KeyUsage.crlSign),
        keyPurposes(...lent),
        subjectKeyId(keyIdentifier(spki, suite)),
        authorityKeyId(keyIdentifier(root.certificate.spki, suite)),
      ],
    },
    root.pair,
    suite,
  )
  return { certificate: parseCertificate(der), pair }
}

export interface PeerContent {
  role: PeerRole
  /** As `checkName` gives it. */
  name: string
  spki: Uint8Array
  tunnelKey?: Uint8Array
  days: number
  /** For a stock IPsec peer, which names itself by a host name too: its own name. */
  ipsec?: boolean
}

/** A certificate of a device, operator or station. Nothing of a request but its proven keys comes in here. */
export function issuePeer(ca: Ca, content: PeerContent, now: WallTime, suite: Suite): Uint8Array {
  const { role, name, spki, ipsec = false } = content
  return writeCertificate(
    {
      serial: newSerial(suite),
      issuer: ca.certificate.subject,
      subject: commonName(name),
      ...life(now, content.days, ca),
      spki,
      extensions: [
        keyUsage(KeyUsage.digitalSignature),
        keyPurposes(purposes.clientAuth, rolePurposes[role], ...(ipsec ? [purposes.ipsecIke] : [])),
        uriName(subjectUri(role, name), ipsec ? [name] : []),
        subjectKeyId(keyIdentifier(spki, suite)),
        authorityKeyId(keyIdentifier(ca.certificate.spki, suite)),
        ...(content.tunnelKey === undefined ? [] : [tunnelKey(content.tunnelKey)]),
      ],
    },
    ca.pair,
    suite,
  )
}

export interface ServerContent {
  /** Name DER. */
  subject: Uint8Array
  /** Host names and literal addresses. */
  hosts: readonly string[]
  /** OIDs. */
  purposes: readonly string[]
  days: number
}

/** A certificate of the broker itself: of its HTTPS API, or of its IKE. */
export function issueServer(ca: Ca, content: ServerContent, spki: Uint8Array, now: WallTime, suite: Suite): Uint8Array {
  return writeCertificate(
    {
      serial: newSerial(suite),
      issuer: ca.certificate.subject,
      subject: content.subject,
      ...life(now, content.days, ca),
      spki,
      extensions: [
        keyUsage(KeyUsage.digitalSignature),
        keyPurposes(...content.purposes),
        hostNames(content.hosts),
        subjectKeyId(keyIdentifier(spki, suite)),
        authorityKeyId(keyIdentifier(ca.certificate.spki, suite)),
      ],
    },
    ca.pair,
    suite,
  )
}

/** Never beyond the life of the CA: a path would end there anyway. */
function life(now: WallTime, lifeDays: number, ca?: Ca): { notBefore: WallTime; notAfter: WallTime } {
  const end = now + days(lifeDays)
  return {
    notBefore: wallTime(Math.max(now - backDated, ca?.certificate.notBefore ?? 0)),
    notAfter: wallTime(Math.min(end, ca?.certificate.notAfter ?? end)),
  }
}

/** Positive and never short: the first byte lies between 0x40 and 0x7f. */
function newSerial(suite: Suite): Uint8Array {
  const serial = suite.random(serialLength)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  return serial
}
