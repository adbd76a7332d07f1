import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import {
  authorityKeyId,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  type PublicPlaces,
  publicPlaces,
  subjectKeyId,
  tunnelKey,
  uriName,
  writeCertificate,
} from '#shared/pki/certificate-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { purposes, rolePurposes } from '#shared/pki/oids.ts'
import { type PeerRole, subjectUri } from '#shared/pki/roles.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** A certificate authority with its key: the root, the issuing CA of a role, or a station's. */
export interface Ca {
  readonly certificate: Certificate
  readonly pair: KeyPair
}

/** What the certificate of a peer says. */
export interface PeerLeaf {
  readonly role: PeerRole
  /** As `checkName` gives it. */
  readonly name: string
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array
  /** 32 bytes. */
  readonly tunnelKey?: Uint8Array
  readonly notBefore: WallTime
  readonly notAfter: WallTime
  /** For a stock IPsec peer, which names itself by a host name too: its own name. */
  readonly ipsec?: boolean
  /** Where outsiders find what is said of it, if anywhere. */
  readonly places?: PublicPlaces
}

/** A certificate of a device, operator or station: DER. Nothing of a request but its proven keys comes in here. */
export function writePeerLeaf(ca: Ca, leaf: PeerLeaf, suite: Suite): Uint8Array {
  const { role, name, spki, notBefore, notAfter, ipsec = false } = leaf
  return writeCertificate(
    {
      serial: newSerial(suite),
      issuer: ca.certificate.subject,
      subject: commonName(name),
      notBefore,
      notAfter,
      spki,
      extensions: [
        keyUsage(KeyUsage.digitalSignature),
        keyPurposes(purposes.clientAuth, rolePurposes[role], ...(ipsec ? [purposes.ipsecIke] : [])),
        uriName(subjectUri(role, name), ipsec ? [name] : []),
        subjectKeyId(keyIdentifier(spki, suite)),
        authorityKeyId(keyIdentifier(ca.certificate.spki, suite)),
        ...(leaf.tunnelKey === undefined ? [] : [tunnelKey(leaf.tunnelKey)]),
        ...(leaf.places === undefined ? [] : publicPlaces(leaf.places)),
      ],
    },
    ca.pair,
    suite,
  )
}

/** Random bytes of a serial number (RFC 5280 allows 20 with the sign). */
const serialLength = 16

/** Positive and never short: the first byte lies between 0x40 and 0x7f. */
export function newSerial(suite: Suite): Uint8Array {
  const serial = suite.random(serialLength)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  return serial
}
