import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { AditError } from '#shared/errors.ts'
import { nameText, parseNameText } from '#shared/ikev2/name-text.ts'
import { readable } from '#shared/ikev2/readable.ts'
import { nameKey, parseName } from '#shared/pki/distinguished-name.ts'
import { IdType } from '#shared/wire/ike-numbers.ts'
import type { IkeId } from '#shared/wire/ike-payload/payload.ts'
import { formatAddress, tryParseAddress } from '#shared/wire/ip-address.ts'

/**
 * Identities of IKE (RFC 7296 §3.5) as a person writes them, by the rules of swanctl.conf: `pump.example` (FQDN), `ada@example.net`
 * (RFC822), `192.0.2.1`, `2001:db8::1`, `CN=pump, O=adit` (distinguished name). A type is forced by a prefix (`keyid:pump 7`, `fqdn:…`,
 * `email:…`, `asn1dn:#3015…`, `{13}:#…`); `#` begins hex. What `idText` writes, `parseId` reads as the same identity.
 */
const prefixes: Readonly<Record<string, number>> = {
  ipv4: IdType.Ipv4,
  ipv6: IdType.Ipv6,
  fqdn: IdType.Fqdn,
  dns: IdType.Fqdn,
  email: IdType.Rfc822,
  rfc822: IdType.Rfc822,
  userfqdn: IdType.Rfc822,
  asn1dn: IdType.DerAsn1Dn,
  asn1gn: IdType.DerAsn1Gn,
  keyid: IdType.KeyId,
}

/** The prefix under which each type is written where its plain text would be read as another. */
const written: Readonly<Record<number, string>> = {
  [IdType.Ipv4]: 'ipv4',
  [IdType.Ipv6]: 'ipv6',
  [IdType.Fqdn]: 'fqdn',
  [IdType.Rfc822]: 'email',
  [IdType.DerAsn1Dn]: 'asn1dn',
  [IdType.DerAsn1Gn]: 'asn1gn',
  [IdType.KeyId]: 'keyid',
}

const plainHost = /^[A-Za-z0-9_*.-]+$/
const plainMailbox = /^[A-Za-z0-9!#$%&'*+/?^_`{|}~.-]+@[A-Za-z0-9_.-]+$/

/** Printable and one line, whatever a stranger sent. */
export function idText(id: IkeId): string {
  const { type, data } = id
  switch (type) {
    case IdType.Ipv4:
    case IdType.Ipv6:
      return data.length === (type === IdType.Ipv4 ? 4 : 16) ? formatAddress(data) : forced(id)
    case IdType.Fqdn: {
      const text = ascii(data)
      return text !== undefined && plainHost.test(text) && tryParseAddress(text) === undefined ? text : forced(id)
    }
    case IdType.Rfc822: {
      const text = ascii(data)
      return text !== undefined && plainMailbox.test(text) ? text : forced(id)
    }
    case IdType.DerAsn1Dn:
      return nameText(data) ?? forced(id)
    default:
      return forced(id)
  }
}

function forced({ type, data }: IkeId): string {
  const text = textTypes.includes(type) ? ascii(data) : undefined
  const prefix = written[type] ?? `{${type}}`
  return `${prefix}:${text === undefined || /^[# ]|^$| $/.test(text) ? `#${toHex(data)}` : text}`
}

const textTypes: readonly number[] = [IdType.Fqdn, IdType.Rfc822, IdType.KeyId]

/** Throws AditError `config-invalid`. */
export function parseId(text: string): IkeId {
  const trimmed = text.trim()
  const prefixed = /^(?:([a-z0-9]+)|\{(\d{1,3})\}):(.*)$/is.exec(trimmed)
  const type = prefixes[prefixed?.[1]?.toLowerCase() ?? ''] ?? (prefixed?.[2] === undefined ? undefined : Number(prefixed[2]))
  if (prefixed !== null && type !== undefined) return checked(type, bytesOf(prefixed[3]!, text), text)
  if (trimmed.startsWith('@#')) return checked(IdType.KeyId, bytesOf(trimmed.slice(1), text), text)
  if (trimmed.startsWith('@@')) return checked(IdType.Rfc822, utf8(trimmed.slice(2)), text)
  if (trimmed.startsWith('@')) return checked(IdType.Fqdn, utf8(trimmed.slice(1)), text)
  if (trimmed.includes('=')) {
    const name = parseNameText(trimmed)
    if (name === undefined) throw invalid(text, 'it is no distinguished name such as "CN=pump, O=adit"')
    return { type: IdType.DerAsn1Dn, data: name }
  }
  const address = tryParseAddress(trimmed)
  if (address !== undefined) return { type: address.length === 4 ? IdType.Ipv4 : IdType.Ipv6, data: address }
  if (plainMailbox.test(trimmed)) return { type: IdType.Rfc822, data: utf8(trimmed) }
  if (plainHost.test(trimmed)) return { type: IdType.Fqdn, data: utf8(trimmed) }
  throw invalid(text, 'it is neither a host name, an address, a mailbox nor a distinguished name')
}

function bytesOf(value: string, text: string): Uint8Array {
  if (!value.startsWith('#')) return utf8(value)
  const digits = value.slice(1).replace(/:/g, '')
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw invalid(text, 'what follows # is not hex')
  return fromHex(digits)
}

function checked(type: number, data: Uint8Array, text: string): IkeId {
  const fixed = type === IdType.Ipv4 ? 4 : type === IdType.Ipv6 ? 16 : undefined
  if (fixed !== undefined && data.length !== fixed) throw invalid(text, `an address after its prefix is ${fixed} bytes in hex`)
  if (data.length === 0) throw invalid(text, 'it is empty')
  if (type > 255) throw invalid(text, 'identity types go up to 255')
  return { type, data }
}

/** FQDN and the host of a mailbox whatever the case of letters; names by RFC 5280 §7.1; all else byte for byte. */
export const sameId = (a: IkeId, b: IkeId): boolean => a.type === b.type && keyOf(a) === keyOf(b)

/** A map's key: equal for identities that `sameId` holds equal. */
export const idKey = (id: IkeId): string => `${id.type}:${keyOf(id)}`

function keyOf({ type, data }: IkeId): string {
  switch (type) {
    case IdType.Fqdn:
      return lowerCase(latin(data))
    case IdType.Rfc822:
      return mailboxKey(latin(data))
    case IdType.DerAsn1Dn:
      return readable(() => nameKey(parseName(data))) ?? `#${toHex(data)}`
    default:
      return toHex(data)
  }
}

/** Two mailboxes, which both have a local part, are one. */
export const sameMailbox = (a: string, b: string): boolean => a.lastIndexOf('@') > 0 && mailboxKey(a) === mailboxKey(b)

/** Local parts keep their case, hosts do not. */
function mailboxKey(text: string): string {
  const at = text.lastIndexOf('@')
  return at > 0 ? text.slice(0, at) + lowerCase(text.slice(at)) : text
}

/** ASCII letters alone: `toLowerCase` would make a `k` of the Kelvin sign. */
const lowerCase = (text: string): string => text.replace(/[A-Z]/g, (c) => c.toLowerCase())
const latin = (data: Uint8Array): string => Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1')
const utf8 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'utf8'))

/** Undefined unless every byte is a printable ASCII character. */
function ascii(data: Uint8Array): string | undefined {
  return data.every((byte) => byte >= 0x20 && byte <= 0x7e) ? latin(data) : undefined
}

const invalid = (text: string, why: string): AditError =>
  new AditError(
    'config-invalid',
    `The identity ${JSON.stringify(text.slice(0, 100))} cannot be read: ${why}.`,
    'Write it as pump.example, 192.0.2.1, ada@example.net, "CN=pump, O=adit" or keyid:pump.',
  )
