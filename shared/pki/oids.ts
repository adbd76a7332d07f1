import type { PeerRole } from '#shared/pki/roles.ts'

/** adit's arc: 2.25 followed by UUID 1a8b9633-fa01-4e09-add2-4919d238f4cf (ITU-T X.667 §7). Never to change: certificates carry it. */
export const aditArc = '2.25.35284703633193819618196928110488253647'

/** Certificate extension: OCTET STRING of the 32-byte X25519 tunnel key that the certificate binds. */
export const tunnelKeyExtension = `${aditArc}.1`

/** Request attribute: SEQUENCE { tunnelKey OCTET STRING (32), mac OCTET STRING (32) }. */
export const tunnelKeyAttribute = `${aditArc}.2`

/** Certificate extension of a station's CA: what it may issue (shared/enrolment/delegation.ts). */
export const delegationExtension = `${aditArc}.4`

/** Certificate extension of a root that succeeded another: OCTET STRING (32), the fleet's name (shared/pki/fleet-id.ts). */
export const fleetExtension = `${aditArc}.7`

/** Key purposes (EKU), one a role, beside the standard clientAuth. */
export const rolePurposes: Record<PeerRole, string> = {
  device: `${aditArc}.3.1`,
  operator: `${aditArc}.3.2`,
  station: `${aditArc}.3.3`,
}

/** Key purposes that a maker of boards lends (IEEE 802.1AR): neither is a role in any fleet. */
export const factoryPurposes = {
  /** An IDevID: may ask for an operational identity, and nothing else. */
  idevid: `${aditArc}.3.4`,
  /** Signs ownership vouchers. */
  voucher: `${aditArc}.3.5`,
} as const

export const purposes = {
  any: '2.5.29.37.0',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  /** id-kp-OCSPSigning (RFC 6960 §4.2.2.2). */
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  /** id-kp-ipsecIKE (RFC 4945 §5.1.3.12). */
  ipsecIke: '1.3.6.1.5.5.7.3.17',
} as const

/** Extensions of RFC 5280 §4.2. */
export const extensions = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  issuerAltName: '2.5.29.18',
  crlNumber: '2.5.29.20',
  reasonCode: '2.5.29.21',
  basicConstraints: '2.5.29.19',
  issuingDistributionPoint: '2.5.29.28',
  certificateIssuer: '2.5.29.29',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  freshestCrl: '2.5.29.46',
  inhibitAnyPolicy: '2.5.29.54',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  subjectInfoAccess: '1.3.6.1.5.5.7.1.11',
} as const

/** Access methods of authorityInfoAccess (RFC 5280 §4.2.2.1), and OCSP's own (RFC 6960 §4.2.1, §4.4.1). */
export const access = {
  ocsp: '1.3.6.1.5.5.7.48.1',
  ocspBasic: '1.3.6.1.5.5.7.48.1.1',
  ocspNonce: '1.3.6.1.5.5.7.48.1.2',
  ocspNoCheck: '1.3.6.1.5.5.7.48.1.5',
  caIssuers: '1.3.6.1.5.5.7.48.2',
} as const

export const algorithms = {
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  p384: '1.3.132.0.34',
  ecdsaSha256: '1.2.840.10045.4.3.2',
  ecdsaSha384: '1.2.840.10045.4.3.3',
  ecdsaSha512: '1.2.840.10045.4.3.4',
  ed25519: '1.3.101.112',
  rsaEncryption: '1.2.840.113549.1.1.1',
  rsaPss: '1.2.840.113549.1.1.10',
  mgf1: '1.2.840.113549.1.1.8',
  rsaSha256: '1.2.840.113549.1.1.11',
  rsaSha384: '1.2.840.113549.1.1.12',
  rsaSha512: '1.2.840.113549.1.1.13',
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
} as const

export const names = {
  commonName: '2.5.4.3',
  /** A board's, not a certificate's. */
  serialNumber: '2.5.4.5',
  emailAddress: '1.2.840.113549.1.9.1',
} as const

/** Attributes of a certification request (RFC 2985). */
export const requestAttributes = {
  challengePassword: '1.2.840.113549.1.9.7',
} as const

export const pkcs7 = {
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
} as const

/** Of CMS (RFC 5652 §11, RFC 8366 §5.4). */
export const cms = {
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  /** id-ct-animaJSONVoucher. */
  jsonVoucher: '1.2.840.113549.1.9.16.1.40',
} as const
