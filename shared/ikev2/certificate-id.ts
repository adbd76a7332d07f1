import { equalPublic } from '#shared/bytes/equal.ts'
import { sameId, sameMailbox } from '#shared/ikev2/identity.ts'
import { readable } from '#shared/ikev2/readable.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { DerReader } from '#shared/pki/der.ts'
import { nameKey, parseName } from '#shared/pki/distinguished-name.ts'
import { type GeneralName, parseGeneralName } from '#shared/pki/general-name.ts'
import { isHostName } from '#shared/pki/host-name.ts'
import { IdType } from '#shared/wire/ike-numbers.ts'
import type { IkeId } from '#shared/wire/ike-payload/payload.ts'

/**
 * Whether a certificate is for the identity that its holder claims (RFC 7296 §3.5, RFC 4945 §5.1; A-35). Compared as parsed values: a
 * distinguished name with the subject, everything else with subject alternative names of its own form. A common name is never a host name,
 * and a wildcard is no identity: whoever holds it could claim to be any of its hosts.
 */
export function matchesCertificate(id: IkeId, certificate: Certificate): boolean {
  const names = certificate.extensions.subjectAltNames?.names ?? []
  switch (id.type) {
    case IdType.DerAsn1Dn:
      return matchesName(id.data, certificate, names)
    case IdType.DerAsn1Gn:
      return matchesGeneralName(id.data, names)
    case IdType.KeyId: {
      const key = certificate.extensions.subjectKeyId?.id
      return key !== undefined && equalPublic(key, id.data)
    }
    default:
      return names.some((name) => {
        const other = idOfName(name)
        return other !== undefined && sameId(id, other)
      })
  }
}

/** An empty name would be the subject of every certificate that has none. */
function matchesName(der: Uint8Array, certificate: Certificate, names: readonly GeneralName[]): boolean {
  const claimed = readable(() => nameKey(parseName(der)))
  if (claimed === undefined || claimed === '') return false
  return claimed === certificate.subjectKey || names.some((name) => name.kind === 'directory' && nameKey(name.name) === claimed)
}

function matchesGeneralName(der: Uint8Array, names: readonly GeneralName[]): boolean {
  const claimed = readable(() => {
    const reader = new DerReader(der)
    const name = parseGeneralName(reader.next())
    reader.end()
    return name
  })
  return claimed !== undefined && names.some((name) => sameGeneralName(claimed, name))
}

function sameGeneralName(a: GeneralName, b: GeneralName): boolean {
  if (a.kind === 'uri') return b.kind === 'uri' && a.value === b.value
  if (a.kind === 'directory') return b.kind === 'directory' && a.name.length > 0 && nameKey(a.name) === nameKey(b.name)
  if (a.kind === 'email') return b.kind === 'email' && sameMailbox(a.value, b.value)
  const [idA, idB] = [idOfName(a), idOfName(b)]
  return idA !== undefined && idB !== undefined && sameId(idA, idB)
}

/** A host name, mailbox or address as an identity; undefined for a wildcard and for other forms. */
function idOfName(name: GeneralName): IkeId | undefined {
  switch (name.kind) {
    case 'dns':
      return isHostName(name.value) ? { type: IdType.Fqdn, data: latin(name.value) } : undefined
    case 'email':
      return { type: IdType.Rfc822, data: latin(name.value) }
    case 'ip':
      if (name.bytes.length !== 4 && name.bytes.length !== 16) return undefined
      return { type: name.bytes.length === 4 ? IdType.Ipv4 : IdType.Ipv6, data: name.bytes }
    default:
      return undefined
  }
}

/**
 * Every identity that the holder of the certificate may claim: the subject first, which is what strongSwan sends where nothing is
 * configured, then the alternative names in their order.
 */
export function idsOfCertificate(certificate: Certificate): IkeId[] {
  const subject: IkeId[] = certificate.subjectKey === '' ? [] : [subjectIkeId(certificate)]
  const names = certificate.extensions.subjectAltNames?.names ?? []
  return [...subject, ...names.flatMap((name) => idOfName(name) ?? [])]
}

const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))

/** The subject as an identity: what a peer of ours finds in our certificate. Empty where there is no subject. */
export const subjectIkeId = (certificate: Certificate): IkeId => ({ type: IdType.DerAsn1Dn, data: certificate.subject })
