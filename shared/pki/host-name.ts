import type { Certificate } from '#shared/pki/certificate.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { formatAddress, sameAddress, tryParseAddress } from '#shared/wire/ip-address.ts'

/** The name under which the peer was sought, matched against subject alternative names alone (RFC 6125, RFC 9525). */
export interface ExpectedName {
  readonly kind: 'dns' | 'ip' | 'email'
  readonly value: string
}

/** `dns` or `ip`, as the host of a URL says (brackets of an IPv6 address are taken off). */
export function expectedHost(host: string): ExpectedName {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  return { kind: tryParseAddress(bare) === undefined ? 'dns' : 'ip', value: bare }
}

/** Throws PkiError `name-mismatch` unless one alternative name of the certificate is `expected`. */
export function checkExpectedName(certificate: Certificate, expected: ExpectedName): void {
  if (!hasName(certificate, expected)) {
    throw new PkiError('name-mismatch', `the certificate is not for ${JSON.stringify(expected.value)}`)
  }
}

function hasName(certificate: Certificate, expected: ExpectedName): boolean {
  const alternatives = certificate.extensions.subjectAltNames?.names ?? []
  switch (expected.kind) {
    case 'dns': {
      const host = expected.value.toLowerCase().replace(/\.$/, '')
      return isHostName(host) && alternatives.some((name) => name.kind === 'dns' && dnsEquals(name.value.toLowerCase(), host))
    }
    case 'ip': {
      const address = tryParseAddress(expected.value)
      return address !== undefined && alternatives.some((name) => name.kind === 'ip' && sameAddress(name.bytes, address))
    }
    case 'email':
      return alternatives.some(
        (name) => name.kind === 'email' && isMailbox(name.value) && sameMailbox(name.value, expected.value),
      )
  }
}

/** A wildcard is the whole leftmost label and stands for exactly one. */
function dnsEquals(presented: string, host: string): boolean {
  if (!isWildcardName(presented)) return isHostName(presented) && presented === host
  const dot = host.indexOf('.')
  return dot > 0 && host.slice(dot + 1) === presented.slice(2)
}

/** Local parts keep their case, hosts do not. */
function sameMailbox(a: string, b: string): boolean {
  const [atA, atB] = [a.lastIndexOf('@'), b.lastIndexOf('@')]
  return a.slice(0, atA) === b.slice(0, atB) && a.slice(atA).toLowerCase() === b.slice(atB).toLowerCase()
}

/** DNS name in preferred syntax (RFC 1034 §3.5), underscores tolerated since they are met; 253 characters at most. */
export function isHostName(text: string): boolean {
  if (text.length === 0 || text.length > 253) return false
  return text.split('.').every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label))
}

/** `*.` before a name of at least two labels. */
export const isWildcardName = (text: string): boolean =>
  text.startsWith('*.') && isHostName(text.slice(2)) && text.slice(2).includes('.')

/** One `@`, a host behind it, and before it a dot-string (RFC 5321 §4.1.2). */
export function isMailbox(text: string): boolean {
  const [local, host, ...more] = text.split('@')
  if (local === undefined || host === undefined || more.length > 0) return false
  return /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/.test(local) && isHostName(host)
}

/** Throws PkiError `name-malformed` where an alternative name cannot be what its form says. */
export function checkAlternativeNames(certificate: Certificate): void {
  for (const name of certificate.extensions.subjectAltNames?.names ?? []) {
    if (name.kind === 'dns' && !isHostName(name.value) && !isWildcardName(name.value)) throw malformedName('DNS', name.value)
    if (name.kind === 'email' && !isMailbox(name.value)) throw malformedName('mail', name.value)
    if (name.kind === 'ip' && name.bytes.length !== 4 && name.bytes.length !== 16) {
      throw new PkiError('name-malformed', 'an IP address name that is neither 4 nor 16 bytes')
    }
  }
}

const malformedName = (form: string, value: string): PkiError =>
  new PkiError('name-malformed', `the malformed ${form} name ${JSON.stringify(value)}`)

/**
 * A server certificate's common name that reads as a host or address must be one of its alternative names, character for character
 * (CA/Browser Forum BR 7.1.4.3): any other is a second identity that some other program may believe. The domain of a wildcard among
 * them is let pass, since wildcard certificates are commonly called by it.
 */
export function checkServerCommonName(certificate: Certificate): void {
  const commonNames = valuesOf(certificate.subjectName, names.commonName)
  if (commonNames.length > 1) throw new PkiError('name-malformed', 'more than one common name')
  const [commonName] = commonNames
  if (commonName === undefined || !/[.:]|^0x/i.test(commonName)) return
  const alternatives = certificate.extensions.subjectAltNames?.names ?? []
  const found = alternatives.some((name) => {
    if (name.kind === 'dns') return name.value === commonName || name.value === `*.${commonName}`
    return name.kind === 'ip' && (name.bytes.length === 4 || name.bytes.length === 16) && formatAddress(name.bytes) === commonName
  })
  if (!found) throw new PkiError('name-mismatch', 'a common name that is none of the alternative names')
}
