import type { Certificate } from '#shared/pki/certificate.ts'
import { nameWithin, type RelativeName, valuesOf } from '#shared/pki/distinguished-name.ts'
import type { GeneralName } from '#shared/pki/general-name.ts'
import { isHostName, isMailbox, isWildcardName } from '#shared/pki/host-name.ts'
import { names } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/**
 * Name constraints (RFC 5280 §4.2.1.10, §6.1.3 (b), (c)). Each CA's constraints judge every certificate below it. A constraint of a
 * form that is not implemented refuses the path: otherName, x400Address, ediPartyName, registeredID.
 */

/** Most comparisons of a name with a constraint in one path: CAs with thousands of constraints meet leaves with thousands of names. */
export const comparisonLimit = 65_536

/** Shared by all certificates of one path. */
export interface ComparisonBudget {
  left: number
}

type Subject = { certificate: Certificate; name: GeneralName }

/** Throws PkiError where `certificate` breaks the constraints of `issuer`, which stands above it. */
export function checkNameConstraints(certificate: Certificate, issuer: Certificate, budget: ComparisonBudget): void {
  const constraints = issuer.extensions.nameConstraints
  if (constraints === undefined) return
  const { permitted, excluded } = constraints
  for (const base of [...permitted, ...excluded]) checkBase(base)
  for (const name of namesOf(certificate)) {
    const subject = { certificate, name }
    for (const base of excluded) {
      spend(budget)
      if (base.kind === name.kind && isExcluded(subject, base)) throw violated(name, 'is excluded')
    }
    const own = permitted.filter((base) => base.kind === name.kind)
    if (own.length > 0 && !own.some((base) => spend(budget) && isPermitted(subject, base)))
      throw violated(name, 'is not permitted')
  }
}

/** The subject, its mailboxes where no alternative name is one, and the alternative names. */
function* namesOf(certificate: Certificate): Iterable<GeneralName> {
  const alternatives = certificate.extensions.subjectAltNames?.names ?? []
  if (certificate.subjectName.length > 0) yield { kind: 'directory', name: certificate.subjectName }
  if (!alternatives.some((name) => name.kind === 'email')) {
    for (const value of valuesOf(certificate.subjectName, names.emailAddress)) yield { kind: 'email', value }
  }
  yield* alternatives
}

/** Refuses a constraint that means nothing certain. */
function checkBase(base: GeneralName): void {
  switch (base.kind) {
    case 'dns':
      if (base.value !== '' && !isHostName(base.value)) throw malformedBase(base)
      return
    case 'email': {
      const host = base.value.startsWith('.') ? base.value.slice(1) : base.value
      if (!(base.value.includes('@') ? isMailbox(base.value) : isHostName(host))) throw malformedBase(base)
      return
    }
    case 'uri':
      if (!isHostName(base.value.startsWith('.') ? base.value.slice(1) : base.value)) throw malformedBase(base)
      return
    case 'ip':
      if (!isNetwork(base.bytes)) throw malformedBase(base)
      return
    case 'directory':
      return
    case 'other':
      throw new PkiError('name-constraint-unsupported', 'a name constraint of a form that is not implemented')
  }
}

const isExcluded = (subject: Subject, base: GeneralName): boolean => matches(subject.name, base, true)
const isPermitted = (subject: Subject, base: GeneralName): boolean => matches(subject.name, base, false)

/** `touching`: whether any name that a wildcard stands for suffices (excluded), or all must lie within (permitted). */
function matches(name: GeneralName, base: GeneralName, touching: boolean): boolean {
  if (name.kind === 'dns' && base.kind === 'dns') return dnsMatches(name.value, base.value, touching)
  if (name.kind === 'email' && base.kind === 'email') return emailMatches(name.value, base.value)
  if (name.kind === 'uri' && base.kind === 'uri') return uriMatches(name.value, base.value, touching)
  if (name.kind === 'ip' && base.kind === 'ip') return ipMatches(name.bytes, base.bytes)
  if (name.kind === 'directory' && base.kind === 'directory') return directoryMatches(name.name, base.name)
  return false
}

/** `host.example.com` lies within `example.com`: whole labels, from the right, zero or more to the left. */
function dnsMatches(value: string, base: string, touching: boolean): boolean {
  const name = value.toLowerCase()
  const constraint = base.toLowerCase()
  if (!isWildcardName(name)) return !isHostName(name) ? touching : dnsWithin(name, constraint)
  const suffix = name.slice(2)
  // `*.example.com` may stand for `bar.example.com`: enough to be excluded by it, not enough to be permitted by it.
  return dnsWithin(suffix, constraint) || (touching && dnsWithin(constraint, suffix))
}

const dnsWithin = (name: string, base: string): boolean => base === '' || name === base || name.endsWith(`.${base}`)

/** A constraint is one mailbox, all of a host, or all of the hosts below a domain (leading period). Local parts keep their case. */
function emailMatches(value: string, base: string): boolean {
  if (!isMailbox(value)) return false
  const at = value.lastIndexOf('@')
  const host = value.slice(at + 1).toLowerCase()
  if (base.includes('@')) {
    const baseAt = base.lastIndexOf('@')
    return value.slice(0, at) === base.slice(0, baseAt) && host === base.slice(baseAt + 1).toLowerCase()
  }
  return hostMatches(host, base.toLowerCase())
}

/** Of a URI only the host counts, which must be a name: without one, nothing permits it and everything excludes it. */
function uriMatches(value: string, base: string, touching: boolean): boolean {
  const host = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:@[\]]+)(?::\d*)?(?:[/?#]|$)/.exec(value)?.[1]?.toLowerCase()
  if (host === undefined || !isHostName(host) || /^[\d.]+$/.test(host)) return touching
  return hostMatches(host, base.toLowerCase())
}

const hostMatches = (host: string, base: string): boolean => (base.startsWith('.') ? host.endsWith(base) : host === base)

function ipMatches(address: Uint8Array, network: Uint8Array): boolean {
  const size = network.length / 2
  return address.length === size && address.every((octet, i) => ((octet ^ network[i]!) & network[size + i]!) === 0)
}

const directoryMatches = (name: readonly RelativeName[], base: readonly RelativeName[]): boolean => nameWithin(name, base)

/** Address and mask, the mask with its ones on the left. */
function isNetwork(bytes: Uint8Array): boolean {
  if (bytes.length !== 8 && bytes.length !== 32) return false
  const mask = [...bytes.subarray(bytes.length / 2)].map((octet) => octet.toString(2).padStart(8, '0')).join('')
  return /^1*0*$/.test(mask)
}

function spend(budget: ComparisonBudget): true {
  budget.left -= 1
  if (budget.left < 0) throw new PkiError('budget-exhausted', `more than ${comparisonLimit} comparisons with name constraints`)
  return true
}

const describe = (name: GeneralName): string =>
  'value' in name ? `${name.kind} name ${JSON.stringify(name.value)}` : `${name.kind} name`

const violated = (name: GeneralName, why: string): PkiError =>
  new PkiError('name-constraint-violated', `the ${describe(name)} ${why} by a CA above it`)

const malformedBase = (base: GeneralName): PkiError =>
  new PkiError('extension-malformed', `a name constraint with the malformed ${describe(base)}`)
