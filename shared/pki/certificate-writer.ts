import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { DerReader, readOctetBits, readWhole, Tag } from '#shared/pki/der.ts'
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
import { algorithms, extensions as known, tunnelKeyExtension } from '#shared/pki/oids.ts'
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
  const algorithm = sequence(oid(algorithms.ecdsaSha256))
  const tbs = sequence(
    element(0xa0, smallInteger(2)),
    unsignedInteger(content.serial),
    algorithm,
    content.issuer,
    sequence(time(content.notBefore), time(content.notAfter)),
    content.subject,
    content.spki,
    element(0xa3, sequence(...content.extensions)),
  )
  return sequence(tbs, algorithm, bitString(suite.ecdsaP256.sign(signer, tbs)))
}

/** Key identifier of RFC 7093 §2 (1): the leftmost 160 bits of the SHA-256 of the key's bits. */
export function keyIdentifier(spki: Uint8Array, suite: Suite): Uint8Array {
  const fields = new DerReader(readWhole(spki, Tag.Sequence))
  fields.next(Tag.Sequence)
  return suite.hash('sha256', readOctetBits(fields.content(Tag.BitString))).slice(0, 20)
}

const extension = (name: string, critical: boolean, value: Uint8Array): Uint8Array =>
  sequence(oid(name), ...(critical ? [boolean(true)] : []), octetString(value))

export const caConstraints = (pathLength: number): Uint8Array =>
  extension(known.basicConstraints, true, sequence(boolean(true), smallInteger(pathLength)))

/** `bits`: of KeyUsage. */
export const keyUsage = (bits: number): Uint8Array => extension(known.keyUsage, true, namedBits(bits))

export const keyPurposes = (...oids: readonly string[]): Uint8Array =>
  extension(known.extendedKeyUsage, false, sequence(...oids.map(oid)))

export const subjectKeyId = (id: Uint8Array): Uint8Array => extension(known.subjectKeyIdentifier, false, octetString(id))

export const authorityKeyId = (id: Uint8Array): Uint8Array =>
  extension(known.authorityKeyIdentifier, false, sequence(element(0x80, id)))

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

export const tunnelKey = (key: Uint8Array): Uint8Array => extension(tunnelKeyExtension, false, octetString(key))
