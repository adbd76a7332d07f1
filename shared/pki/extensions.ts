import { DerReader, readBoolean, readNamedBits, readSmallInteger, readWhole, Tag } from '#shared/pki/der.ts'
import { type GeneralName, parseGeneralName, parseGeneralNames } from '#shared/pki/general-name.ts'
import { access, delegationExtension, fleetExtension, extensions as known, tunnelKeyExtension } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/** Bits of KeyUsage (RFC 5280 §4.2.1.3). */
export const KeyUsage = {
  digitalSignature: 1 << 0,
  contentCommitment: 1 << 1,
  keyEncipherment: 1 << 2,
  dataEncipherment: 1 << 3,
  keyAgreement: 1 << 4,
  keyCertSign: 1 << 5,
  crlSign: 1 << 6,
  encipherOnly: 1 << 7,
  decipherOnly: 1 << 8,
} as const

/** The extensions that path validation looks at, each parsed once, at the edge. */
export interface Extensions {
  basicConstraints?: { critical: boolean; ca: boolean; pathLength: number | undefined }
  keyUsage?: { critical: boolean; bits: number }
  purposes?: { critical: boolean; oids: readonly string[] }
  subjectAltNames?: { critical: boolean; names: readonly GeneralName[] }
  nameConstraints?: { critical: boolean; permitted: readonly GeneralName[]; excluded: readonly GeneralName[] }
  subjectKeyId?: { critical: boolean; id: Uint8Array }
  authorityKeyId?: { critical: boolean; id: Uint8Array | undefined; issuer: boolean; serial: boolean }
  /** URIs of who answers OCSP and of the issuer's certificate, where there are any. Nobody of ours follows them. */
  places?: { ocsp?: string; issuer?: string }
  /** The 32-byte X25519 key that adit's own certificates bind. */
  tunnelKey?: Uint8Array
  /** What the CA of a station may issue: DER. */
  delegation?: Uint8Array
  /** The 32-byte name of the fleet, in a root that succeeded another. */
  fleet?: Uint8Array
  /** Extensions that steer policy processing, which is not done here: their presence refuses a path. */
  policySteering: boolean
  /** Critical where RFC 5280 demands otherwise, or the reverse: OIDs. */
  wrongCriticality: readonly string[]
  /** Critical and not understood: OIDs. */
  unknownCritical: readonly string[]
  /** Every OID that is present. */
  present: ReadonlySet<string>
}

type Draft = { -readonly [K in keyof Extensions]: Extensions[K] }
type Rule = { critical: 'never' | 'always' | 'any'; read(value: Uint8Array, critical: boolean, into: Draft): void }

const extensionLimit = 64

/** What each extension must look like and whether it may be critical (RFC 5280 §4.2). */
const rules: Record<string, Rule> = {
  [known.subjectKeyIdentifier]: {
    critical: 'never',
    read: (value, critical, into) => {
      into.subjectKeyId = { critical, id: readWhole(value, Tag.OctetString) }
    },
  },
  [known.authorityKeyIdentifier]: { critical: 'never', read: readAuthorityKeyId },
  [known.keyUsage]: {
    critical: 'any',
    read: (value, critical, into) => {
      const bits = readNamedBits(readWhole(value, Tag.BitString))
      if (bits === 0) throw new PkiError('extension-malformed', 'a key usage without any bit')
      into.keyUsage = { critical, bits }
    },
  },
  [known.basicConstraints]: { critical: 'any', read: readBasicConstraints },
  [known.extendedKeyUsage]: { critical: 'any', read: readPurposes },
  [known.subjectAltName]: {
    critical: 'any',
    read: (value, critical, into) => {
      into.subjectAltNames = { critical, names: parseGeneralNames(new DerReader(readWhole(value, Tag.Sequence))) }
    },
  },
  [known.issuerAltName]: {
    critical: 'never',
    read: (value) => {
      parseGeneralNames(new DerReader(readWhole(value, Tag.Sequence)))
    },
  },
  [known.nameConstraints]: { critical: 'always', read: readNameConstraints },
  [known.certificatePolicies]: { critical: 'any', read: readPolicies },
  [known.policyMappings]: { critical: 'any', read: steer },
  [known.policyConstraints]: { critical: 'always', read: steer },
  [known.inhibitAnyPolicy]: { critical: 'always', read: steer },
  [known.authorityInfoAccess]: { critical: 'never', read: readAuthorityAccess },
  [known.subjectInfoAccess]: {
    critical: 'never',
    read: (value) => {
      readAccess(value)
    },
  },
  [tunnelKeyExtension]: {
    critical: 'any',
    read: (value, _critical, into) => {
      const key = readWhole(value, Tag.OctetString)
      if (key.length !== 32) throw new PkiError('extension-malformed', 'a tunnel key that is not 32 bytes')
      into.tunnelKey = key
    },
  },
  [delegationExtension]: {
    critical: 'any',
    read: (value, _critical, into) => {
      into.delegation = value
    },
  },
  [fleetExtension]: {
    critical: 'never',
    read: (value, _critical, into) => {
      const name = readWhole(value, Tag.OctetString)
      if (name.length !== 32) throw new PkiError('extension-malformed', "a fleet's name that is not 32 bytes")
      into.fleet = name
    },
  },
}

/** `list`: content of the Extensions SEQUENCE. Throws PkiError. */
export function parseExtensions(list: Uint8Array): Extensions {
  const reader = new DerReader(list)
  if (reader.done) throw new PkiError('extension-malformed', 'an empty list of extensions')
  const present = new Set<string>()
  const unknownCritical: string[] = []
  const wrongCriticality: string[] = []
  const draft: Draft = { policySteering: false, wrongCriticality, unknownCritical, present }
  while (!reader.done) {
    const fields = reader.sequence()
    const name = fields.oid()
    const flag = fields.optional(Tag.Boolean)
    const critical = flag !== undefined && readBoolean(flag.content)
    // DER omits a default value: an encoded FALSE is malformed.
    if (flag !== undefined && !critical) throw new PkiError('extension-malformed', 'a criticality of FALSE written out')
    const value = fields.content(Tag.OctetString)
    fields.end()
    if (present.has(name)) throw new PkiError('extension-duplicate', `extension ${name} twice`)
    if (present.size >= extensionLimit) throw new PkiError('too-large', `more than ${extensionLimit} extensions`)
    present.add(name)
    const rule = rules[name]
    if (rule === undefined) {
      if (critical) unknownCritical.push(name)
      continue
    }
    rule.read(value, critical, draft)
    if ((rule.critical === 'never' && critical) || (rule.critical === 'always' && !critical)) wrongCriticality.push(name)
  }
  return draft
}

export const noExtensions: Extensions = {
  policySteering: false,
  wrongCriticality: [],
  unknownCritical: [],
  present: new Set(),
}

function readBasicConstraints(value: Uint8Array, critical: boolean, into: Draft): void {
  const fields = new DerReader(readWhole(value, Tag.Sequence))
  const flag = fields.optional(Tag.Boolean)
  const ca = flag !== undefined && readBoolean(flag.content)
  if (flag !== undefined && !ca) throw new PkiError('extension-malformed', 'a cA of FALSE written out')
  const length = fields.optional(Tag.Integer)
  fields.end()
  if (length !== undefined && !ca) throw new PkiError('extension-malformed', 'a path length without cA')
  into.basicConstraints = { critical, ca, pathLength: length === undefined ? undefined : readSmallInteger(length.content) }
}

function readPurposes(value: Uint8Array, critical: boolean, into: Draft): void {
  const list = new DerReader(readWhole(value, Tag.Sequence))
  const oids: string[] = []
  while (!list.done) oids.push(list.oid())
  if (oids.length === 0) throw new PkiError('extension-malformed', 'an empty list of key purposes')
  into.purposes = { critical, oids }
}

function readAuthorityKeyId(value: Uint8Array, critical: boolean, into: Draft): void {
  const fields = new DerReader(readWhole(value, Tag.Sequence))
  const id = fields.optional(0x80)?.content
  const issuer = fields.optional(0xa1)
  if (issuer !== undefined) parseGeneralNames(new DerReader(issuer.content))
  const serial = fields.optional(0x82)
  fields.end()
  if ((issuer === undefined) !== (serial === undefined)) {
    throw new PkiError('extension-malformed', 'an authority key identifier with issuer or serial alone')
  }
  into.authorityKeyId = { critical, id, issuer: issuer !== undefined, serial: serial !== undefined }
}

function readNameConstraints(value: Uint8Array, critical: boolean, into: Draft): void {
  const fields = new DerReader(readWhole(value, Tag.Sequence))
  const permitted = fields.optional(0xa0)
  const excluded = fields.optional(0xa1)
  fields.end()
  if (permitted === undefined && excluded === undefined) throw new PkiError('extension-malformed', 'empty name constraints')
  into.nameConstraints = { critical, permitted: readSubtrees(permitted?.content), excluded: readSubtrees(excluded?.content) }
}

/** GeneralSubtrees: `minimum` must be 0 (and so absent in DER) and `maximum` absent (RFC 5280 §4.2.1.10). */
function readSubtrees(content: Uint8Array | undefined): readonly GeneralName[] {
  if (content === undefined) return []
  const reader = new DerReader(content)
  const bases: GeneralName[] = []
  while (!reader.done) {
    const subtree = reader.sequence()
    bases.push(parseGeneralName(subtree.next()))
    subtree.end()
  }
  if (bases.length === 0) throw new PkiError('extension-malformed', 'an empty list of name constraints')
  return bases
}

/** CertificatePolicies: without steering extensions they restrict nothing here, but must be well formed and unique. */
function readPolicies(value: Uint8Array): void {
  const list = new DerReader(readWhole(value, Tag.Sequence))
  const seen = new Set<string>()
  while (!list.done) {
    const policy = list.sequence()
    const name = policy.oid()
    const qualifiers = policy.optional(Tag.Sequence)
    policy.end()
    if (seen.has(name)) throw new PkiError('extension-malformed', `policy ${name} twice`)
    if (qualifiers !== undefined && qualifiers.content.length === 0) {
      throw new PkiError('extension-malformed', 'an empty list of policy qualifiers')
    }
    seen.add(name)
  }
  if (seen.size === 0) throw new PkiError('extension-malformed', 'an empty list of policies')
}

function steer(_value: Uint8Array, _critical: boolean, into: Draft): void {
  into.policySteering = true
}

/** AuthorityInfoAccess: well formed, and never followed. */
function readAuthorityAccess(value: Uint8Array, _critical: boolean, into: Draft): void {
  const places: { ocsp?: string; issuer?: string } = {}
  for (const { method, name } of readAccess(value)) {
    if (name.kind !== 'uri') continue
    if (method === access.ocsp) places.ocsp ??= name.value
    if (method === access.caIssuers) places.issuer ??= name.value
  }
  into.places = places
}

function readAccess(value: Uint8Array): { method: string; name: GeneralName }[] {
  const found: { method: string; name: GeneralName }[] = []
  const list = new DerReader(readWhole(value, Tag.Sequence))
  if (list.done) throw new PkiError('extension-malformed', 'an empty list of access descriptions')
  while (!list.done) {
    const description = list.sequence()
    found.push({ method: description.oid(), name: parseGeneralName(description.next()) })
    description.end()
  }
  return found
}
