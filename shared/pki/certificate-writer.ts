import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import {
  bitString,
  boolean,
  element,
  namedBits,
  octetString,
  oid,
  sequence,
  smallInteger,
  time,
  unsignedInteger,
} from '#shared/pki/der-writer.ts'
import {
  access,
  algorithms,
  delegationExtension,
  fleetExtension,
  extensions as known,
  tunnelKeyExtension,
} from '#shared/pki/oids.ts'
import { keyBits } from '#shared/pki/public-key.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** What a certificate is to say; signed by ECDSA P-256 with SHA-256. */
export interface CertificateContent {
  /** Positive, big-endian, at most 20 bytes with its sign. */
  serial: Uint8Array
  /** Name DER. */
  issuer: Uint8Array
  subject: Uint8Array
  notBefore: WallTime
  notAfter: WallTime
  /** SubjectPublicKeyInfo DER. */
  spki: Uint8Array
  /** Each as one of the functions below makes it. */
  extensions: readonly Uint8Array[]
}

/** DER. `signer`: the P-256 key of the issuer. */
export function writeCertificate(content: CertificateContent, signer: KeyPair, suite: Suite): Uint8Array {
  const tbs = sequence(
    element(0xa0, smallInteger(2)),
    unsignedInteger(content.serial),
    ecdsaSha256,
    content.issuer,
    sequence(time(content.notBefore), time(content.notAfter)),
    content.subject,
    content.spki,
    element(0xa3, sequence(...content.extensions)),
  )
  return signed(tbs, signer, suite)
}

/** AlgorithmIdentifier of ECDSA with SHA-256, without parameters (RFC 5758 §3.2). */
export const ecdsaSha256 = sequence(oid(algorithms.ecdsaSha256))

/** As certificates, lists and OCSP answers are signed: what is said, the algorithm, the signature by a P-256 key, and what stands behind it. */
export const signed = (said: Uint8Array, signer: KeyPair, suite: Suite, ...behind: readonly Uint8Array[]): Uint8Array =>
  sequence(said, ecdsaSha256, bitString(suite.ecdsaP256.sign(signer, said)), ...behind)

/** Key identifier of RFC 7093 §2 (1): the leftmost 160 bits of the SHA-256 of the key's bits. */
export const keyIdentifier = (spki: Uint8Array, suite: Suite): Uint8Array => suite.hash('sha256', keyBits(spki)).slice(0, 20)

/** Extension (RFC 5280 §4.2) around the DER of its value. `name`: OID. */
export const extension = (name: string, critical: boolean, value: Uint8Array): Uint8Array =>
  sequence(oid(name), ...(critical ? [boolean(true)] : []), octetString(value))

export const caConstraints = (pathLength: number): Uint8Array =>
  extension(known.basicConstraints, true, sequence(boolean(true), smallInteger(pathLength)))

/** `bits`: of KeyUsage. */
export const keyUsage = (bits: number): Uint8Array => extension(known.keyUsage, true, namedBits(bits))

export const keyPurposes = (...oids: readonly string[]): Uint8Array =>
  extension(known.extendedKeyUsage, false, sequence(...oids.map(oid)))

export const subjectKeyId = (id: Uint8Array): Uint8Array => extension(known.subjectKeyIdentifier, false, octetString(id))

export const authorityKeyId = (id: Uint8Array): Uint8Array =>
  extension(known.authorityKeyIdentifier, false, authorityKeyIdentifier(id))

/** The extension's value, which stands by itself in a voucher: AuthorityKeyIdentifier DER with the key's identifier alone. */
export const authorityKeyIdentifier = (id: Uint8Array): Uint8Array => sequence(element(0x80, id))

/** A URI, and host names beside it. */
export const uriName = (uri: string, hosts: readonly string[] = []): Uint8Array =>
  extension(known.subjectAltName, false, sequence(element(0x86, Buffer.from(uri, 'latin1')), ...hosts.map(hostName)))

/** DNS names, and literal addresses as such. */
export const hostNames = (hosts: readonly string[]): Uint8Array =>
  extension(known.subjectAltName, false, sequence(...hosts.map(hostName)))

function hostName(host: string): Uint8Array {
  const address = tryParseAddress(host)
  return address === undefined ? element(0x82, Buffer.from(host, 'latin1')) : element(0x87, address)
}

/** `id`: 32 bytes (shared/pki/fleet-id.ts). */
export const fleetName = (id: Uint8Array): Uint8Array => extension(fleetExtension, false, octetString(id))

export const tunnelKey = (key: Uint8Array): Uint8Array => extension(tunnelKeyExtension, false, octetString(key))

/** Of a CA whose certificates name no host, no address and no mailbox but one that cannot be. */
export const noHostNames = (): Uint8Array => {
  const base = (tag: number, bytes: Uint8Array): Uint8Array => sequence(element(tag, bytes))
  const anyHost = base(0x82, new Uint8Array())
  const anyAddress = [8, 32].map((length) => base(0x87, new Uint8Array(length)))
  const noMailbox = base(0x81, Buffer.from('adit.invalid', 'latin1'))
  return extension(known.nameConstraints, true, sequence(element(0xa0, noMailbox), element(0xa1, anyHost, ...anyAddress)))
}

/** `scope`: DER, as shared/enrolment/delegation.ts makes it. */
export const delegation = (scope: Uint8Array): Uint8Array => extension(delegationExtension, false, scope)

/** Where outsiders find what is said of a certificate. */
export interface PublicPlaces {
  /** URL of the issuer's list of revoked certificates, of its OCSP responder, and of its own certificate. */
  readonly crl: string
  /** Undefined: nobody answers. */
  readonly ocsp?: string
  readonly issuer: string
  /** Name DER of who signs the list, where that is not the certificate's issuer. */
  readonly crlIssuer?: Uint8Array
}

/** CRLDistributionPoints and AuthorityInfoAccess (RFC 5280 §4.2.1.13, §4.2.2.1). */
export function publicPlaces({ crl, ocsp, issuer, crlIssuer }: PublicPlaces): Uint8Array[] {
  const point = element(0xa0, element(0xa0, uri(crl)))
  const signer = crlIssuer === undefined ? [] : [element(0xa2, element(0xa4, crlIssuer))]
  const responder = ocsp === undefined ? [] : [sequence(oid(access.ocsp), uri(ocsp))]
  return [
    extension(known.crlDistributionPoints, false, sequence(sequence(point, ...signer))),
    extension(known.authorityInfoAccess, false, sequence(...responder, sequence(oid(access.caIssuers), uri(issuer)))),
  ]
}

/** Of an OCSP responder (RFC 6960 §4.2.2.2.1): nobody need ask whether it is revoked. */
export const ocspNoCheck = (): Uint8Array => extension(access.ocspNoCheck, false, Uint8Array.of(0x05, 0x00))

const uri = (text: string): Uint8Array => element(0x86, Buffer.from(text, 'latin1'))
