import { type Certificate, isSelfIssued } from '#shared/pki/certificate.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { checkAlternativeNames } from '#shared/pki/host-name.ts'
import { extensions as known, purposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. */
const serialLimit = 20

/** What every certificate of a path must keep, wherever it stands. Nobody tells a root by its serial, and old ones have zero. */
export function checkCertificate(certificate: Certificate, now: WallTime, anchor = false): void {
  if (certificate.version !== 3) throw new PkiError('version-unsupported', `a certificate of version ${certificate.version}`)
  if (!anchor) checkSerial(certificate.serial)
  if (now < certificate.notBefore) throw new PkiError('not-yet-valid', `valid only from ${iso(certificate.notBefore)}`)
  if (now > certificate.notAfter) throw new PkiError('expired', `expired at ${iso(certificate.notAfter)}`)
  if (certificate.issuerKey === '') throw new PkiError('issuer-empty', 'a certificate without an issuer name')
  const { extensions } = certificate
  const [unknown] = extensions.unknownCritical
  if (unknown !== undefined) throw new PkiError('extension-critical-unknown', `the unknown critical extension ${unknown}`)
  const [wrong] = extensions.wrongCriticality
  if (wrong !== undefined)
    throw new PkiError('extension-criticality', `extension ${wrong} is critical where it must not be, or not where it must`)
  if (extensions.policySteering)
    throw new PkiError('policy-unsupported', 'a policy constraint or mapping, which is not processed here')
  checkSubject(certificate)
  checkAlternativeNames(certificate)
}

function checkSerial(serial: Uint8Array): void {
  const [first = 0] = serial
  if (first >= 0x80) throw new PkiError('serial-invalid', 'a negative serial number')
  if (serial.every((octet) => octet === 0)) throw new PkiError('serial-invalid', 'a serial number of zero')
  // A leading zero octet is only the sign.
  if (serial.length - (first === 0 ? 1 : 0) > serialLimit || serial.length > serialLimit) {
    throw new PkiError('serial-invalid', `a serial number of more than ${serialLimit} octets`)
  }
}

/** An empty subject needs a critical alternative name, any other one that is not critical (RFC 5280 §4.2.1.6). */
function checkSubject(certificate: Certificate): void {
  const empty = certificate.subjectName.length === 0
  const alternatives = certificate.extensions.subjectAltNames
  if (empty && alternatives === undefined) throw new PkiError('subject-empty', 'neither a subject nor an alternative name')
  if (alternatives !== undefined && alternatives.critical !== empty) {
    throw new PkiError(
      'extension-criticality',
      'an alternative name that is critical beside a subject, or not critical without one',
    )
  }
}

/** What a certificate must be to sign others: a root, or an intermediate. */
export function checkIssuer(certificate: Certificate, anchor: boolean): void {
  const { basicConstraints, keyUsage, subjectKeyId, authorityKeyId, purposes: eku } = certificate.extensions
  if (basicConstraints?.ca !== true) throw new PkiError('issuer-not-ca', 'an issuer that is not a certificate authority')
  if (!basicConstraints.critical) throw new PkiError('extension-criticality', 'basic constraints of a CA that are not critical')
  if (keyUsage === undefined) throw new PkiError('extension-missing', 'a CA without key usage')
  if ((keyUsage.bits & KeyUsage.keyCertSign) === 0)
    throw new PkiError('issuer-key-usage', 'a CA whose key may not sign certificates')
  if (certificate.subjectName.length === 0) throw new PkiError('subject-empty', 'a CA without a subject')
  if (subjectKeyId === undefined) throw new PkiError('extension-missing', 'a CA without a subject key identifier')
  if (!anchor || !isSelfIssued(certificate)) return
  if (eku !== undefined) throw new PkiError('extension-forbidden', 'a root with key purposes')
  if (authorityKeyId === undefined) return
  if (authorityKeyId.issuer || authorityKeyId.serial) {
    throw new PkiError('extension-forbidden', 'a root whose authority key identifier names issuer and serial')
  }
  if (authorityKeyId.id === undefined || Buffer.compare(authorityKeyId.id, subjectKeyId.id) !== 0) {
    throw new PkiError('key-identifier-mismatch', 'a root whose authority key identifier is not its own')
  }
}

/** Between a certificate and the one that signed it. */
export function checkLink(child: Certificate, issuer: Certificate): void {
  const authority = child.extensions.authorityKeyId
  if (authority?.id === undefined) throw new PkiError('extension-missing', 'no authority key identifier')
  const id = issuer.extensions.subjectKeyId?.id
  if (id !== undefined && Buffer.compare(authority.id, id) !== 0) {
    throw new PkiError('key-identifier-mismatch', 'an authority key identifier that is not the issuer’s')
  }
}

export interface LeafDemands {
  /** OIDs, all of which must be among the leaf's key purposes. */
  purposes: readonly string[]
  /** Bits of KeyUsage that the leaf must have. */
  keyUsage: number
}

/** What the end entity must be. A leaf never signs (DESIGN D4, A-36). */
export function checkLeaf(certificate: Certificate, demands: LeafDemands): void {
  const { basicConstraints, keyUsage, nameConstraints, purposes: eku } = certificate.extensions
  if (basicConstraints?.ca === true) throw new PkiError('peer-is-ca', 'a certificate authority where an end entity should be')
  if (nameConstraints !== undefined) throw new PkiError('extension-forbidden', 'name constraints in an end entity')
  if (keyUsage !== undefined && (keyUsage.bits & KeyUsage.keyCertSign) !== 0) {
    throw new PkiError('key-usage', 'an end entity whose key may sign certificates')
  }
  if ((demands.keyUsage & ~(keyUsage?.bits ?? 0)) !== 0)
    throw new PkiError('key-usage', 'an end entity without the key usage asked for')
  if (demands.purposes.length === 0) return
  if (eku === undefined) throw new PkiError('purpose', 'an end entity without key purposes')
  if (eku.critical) throw new PkiError('extension-criticality', `extension ${known.extendedKeyUsage} is critical`)
  // anyExtendedKeyUsage is no purpose here: it would make every role of every other.
  const missing = demands.purposes.find((purpose) => !eku.oids.includes(purpose))
  if (missing !== undefined) throw new PkiError('purpose', `an end entity without the key purpose ${missing}`)
  if (eku.oids.includes(purposes.any)) throw new PkiError('purpose', 'an end entity for any purpose')
}

/** An intermediate that has key purposes lends only those (as OpenSSL, NSS and Windows judge). */
export function checkIssuerPurposes(certificate: Certificate, wanted: readonly string[]): void {
  const eku = certificate.extensions.purposes
  if (eku === undefined || eku.oids.includes(purposes.any)) return
  const missing = wanted.find((purpose) => !eku.oids.includes(purpose))
  if (missing !== undefined) throw new PkiError('purpose', `an issuer without the key purpose ${missing}`)
}

const iso = (at: WallTime): string => (Number.isFinite(at) ? new Date(at).toISOString() : String(at))
