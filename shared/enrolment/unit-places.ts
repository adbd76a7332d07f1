import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import {
  authorityKeyId,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  ocspNoCheck,
  type PublicPlaces,
  subjectKeyId,
  writeCertificate,
} from '#shared/pki/certificate-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { purposes } from '#shared/pki/oids.ts'
import { type Ca, newSerial } from '#shared/pki/peer-leaf.ts'

/**
 * Where outsiders ask about units that a station's own CA has certified: at the broker, since a station is seldom on line.
 *
 * - OCSP: the station's CA certifies once that the key of the device CA answers for it (RFC 6960 §4.2.2.2, a delegated responder).
 * - A list: the device CA's key signs an indirect one (RFC 5280 §5.2.5), which the unit's certificate names by `cRLIssuer`.
 *
 * Both places lie beside those that the certificate of the station's CA says, so that a station without a network knows them.
 */
export const stationLabel = (stationSpki: Uint8Array, suite: Suite): string =>
  `station-${toHex(suite.hash('sha256', stationSpki).subarray(0, 8))}`

/** `label`: of the device CA. */
export const stationsList = (label: string): string => `${label}-stations`

/** Undefined where the certificate of the station's CA names no place. */
export function unitPlaces(ca: Certificate, suite: Suite): PublicPlaces | undefined {
  const { ocsp, issuer } = ca.extensions.places ?? {}
  const [, base, label] = /^(.*\/)([^/]+)\.crt$/.exec(issuer ?? '') ?? []
  if (ocsp === undefined || base === undefined || label === undefined) return undefined
  return {
    crl: `${base}${stationsList(label)}.crl`,
    ocsp,
    issuer: `${base}${stationLabel(ca.spki, suite)}.crt`,
    crlIssuer: ca.issuer,
  }
}

/**
 * The certificate by which the holder of `spki` answers OCSP for the station's CA: DER. It lives as long as that CA's, and says that nobody
 * need ask whether it is revoked itself: who would say so is its holder.
 */
export function writeResponder({ certificate, pair }: Ca, spki: Uint8Array, suite: Suite): Uint8Array {
  return writeCertificate(
    {
      serial: newSerial(suite),
      issuer: certificate.subject,
      subject: commonName('adit OCSP'),
      notBefore: certificate.notBefore,
      notAfter: certificate.notAfter,
      spki,
      extensions: [
        keyUsage(KeyUsage.digitalSignature),
        keyPurposes(purposes.ocspSigning),
        ocspNoCheck(),
        subjectKeyId(keyIdentifier(spki, suite)),
        authorityKeyId(keyIdentifier(certificate.spki, suite)),
      ],
    },
    pair,
    suite,
  )
}
