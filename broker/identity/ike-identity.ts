import { alwaysNamed, namesOf } from '#broker/identity/server-credential.ts'
import { parseId, sameId } from '#shared/ikev2/identity.ts'
import { type Certificate, isSelfIssued, parseCertificate } from '#shared/pki/certificate.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { IdType } from '#shared/wire/ike-numbers.ts'
import type { IkeId } from '#shared/wire/ike-payload/payload.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** How the broker proves itself to IKE peers. */
export interface IkeIdentity {
  /** The name that peers are told to expect: as configured, else a host name, else the subject, which never changes. */
  readonly id: string
  /** What we show a peer that asks for none in particular comes first: a host name, an address, or the subject. */
  readonly ids: readonly [IkeId, ...IkeId[]]
  /** DER, leaf first; without roots, since every peer has one of them, but with what leads from one to another. */
  readonly chain: readonly Uint8Array[]
  readonly certificate: Certificate
  /** PKCS#8 DER. */
  readonly privateKey: Uint8Array
}

/** `wanted`: the identity of the configuration; it is one of the certificate's names. Throws PkiError. */
export function ikeIdentity(pem: { key: string; cert: string }, wanted: string | undefined): IkeIdentity {
  const chain = decodePem('CERTIFICATE', pem.cert).filter((der) => !isRoot(parseCertificate(der)))
  const [leaf] = chain
  const [privateKey] = decodePem('PRIVATE KEY', pem.key)
  if (leaf === undefined || privateKey === undefined) throw new PkiError('der-malformed', 'no certificate or key in PEM')
  const certificate = parseCertificate(leaf)
  // Names that every machine has are no identity.
  const own = namesOf(certificate).filter((name) => !alwaysNamed.includes(name))
  const hosts = own.filter((name) => tryParseAddress(name) === undefined)
  const addresses = own.filter((name) => tryParseAddress(name) !== undefined)
  const subject: IkeId = { type: IdType.DerAsn1Dn, data: certificate.subject }
  const others = [...[...hosts, ...addresses].map(parseId), subject]
  const asked = wanted === undefined ? [] : [parseId(wanted)]
  const host = hosts.find((name) => name.includes('.'))
  return {
    id: wanted ?? host ?? `CN=${valuesOf(certificate.subjectName, names.commonName)[0]}`,
    ids: [...asked, ...others.filter((id) => !asked.some((first) => sameId(first, id)))] as [IkeId, ...IkeId[]],
    chain,
    certificate,
    privateKey,
  }
}

/** A link between roots names the key that signed it. */
const isRoot = (certificate: Certificate): boolean =>
  isSelfIssued(certificate) && certificate.extensions.authorityKeyId === undefined
