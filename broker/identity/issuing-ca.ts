import { life } from '#broker/identity/ca-certificates.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Delegation, encodeScope } from '#shared/enrolment/delegation.ts'
import {
  authorityKeyId,
  caConstraints,
  delegation,
  hostNames,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  noHostNames,
  type PublicPlaces,
  publicPlaces,
  subjectKeyId,
  writeCertificate,
} from '#shared/pki/certificate-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { purposes, rolePurposes } from '#shared/pki/oids.ts'
import { type Ca, newSerial, writePeerLeaf } from '#shared/pki/peer-leaf.ts'
import type { PeerRole } from '#shared/pki/roles.ts'
import { minutes, type WallTime, wallTime } from '#shared/time/instant.ts'

/** How far before now a certificate begins, so that a peer whose clock is a little late takes it at once. */
const backDated = minutes(5)

export { makeIssuingCa, makeRoot } from '#broker/identity/ca-certificates.ts'
export type { Ca } from '#shared/pki/peer-leaf.ts'

export interface PeerContent {
  role: PeerRole
  /** As `checkName` gives it. */
  name: string
  spki: Uint8Array
  tunnelKey?: Uint8Array
  days: number
  /** For a stock IPsec peer, which names itself by a host name too: its own name. */
  ipsec?: boolean
  /** Where outsiders find what is said of it, if anywhere. */
  places?: PublicPlaces
}

/** A certificate of a device, operator or station. Nothing of a request but its proven keys comes in here. */
export function issuePeer(ca: Ca, content: PeerContent, now: WallTime, suite: Suite): Uint8Array {
  const { role, name, spki, ipsec = false } = content
  const given = { ...(content.tunnelKey && { tunnelKey: content.tunnelKey }), ...(content.places && { places: content.places }) }
  const own = { role, name, spki, ipsec, ...given }
  return writePeerLeaf(ca, { ...own, ...life(now, content.days, ca) }, suite)
}

/**
 * A station's own CA below the devices': it signs devices, within the scope and for as long as the window is open. `subject`: its Name (DER) of
 * the certificate in whose place it comes, since what the CA has signed names it by that. `places`: where outsiders find what is said of it; those
 * of its units lie beside them.
 */
export function issueDelegate(
  ca: Ca,
  scope: Delegation,
  spki: Uint8Array,
  suite: Suite,
  { subject, places }: { subject?: Uint8Array | undefined; places?: PublicPlaces | undefined } = {},
): Uint8Array {
  return writeCertificate(
    {
      serial: newSerial(suite),
      issuer: ca.certificate.subject,
      subject: subject ?? commonName(`adit station ${scope.station} CA ${toHex(suite.random(4))}`),
      notBefore: wallTime(Math.max(scope.notBefore - backDated, ca.certificate.notBefore)),
      notAfter: wallTime(Math.min(scope.notAfter, ca.certificate.notAfter)),
      spki,
      extensions: [
        caConstraints(0),
        keyUsage(KeyUsage.keyCertSign | KeyUsage.crlSign),
        // It lets the broker answer for it (shared/enrolment/unit-places.ts).
        keyPurposes(purposes.clientAuth, rolePurposes.device, purposes.ocspSigning),
        noHostNames(),
        subjectKeyId(keyIdentifier(spki, suite)),
        authorityKeyId(keyIdentifier(ca.certificate.spki, suite)),
        delegation(encodeScope(scope)),
        ...(places === undefined ? [] : publicPlaces(places)),
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
