import { fromBase64, toBase64 } from '#shared/bytes/base64.ts'
import { isHttpsUrl, isLiteral } from '#shared/enrolment/claim.ts'
import { isSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * An ownership voucher (RFC 8366 §5): by it the maker of a board says to the board who owns it. JSON as RFC 7951 has it (binary in
 * base64, times by RFC 3339), with three leaves of our own under `adit-voucher:`.
 *
 *   {"ietf-voucher:voucher": {"created-on", "expires-on" | "nonce", "assertion", "serial-number", "idevid-issuer", "pinned-domain-cert",
 *     "domain-cert-revocation-checks": false, "adit-voucher:api": [url …], "adit-voucher:addresses": [literal …], "adit-voucher:fleet-key"}}
 */
export interface Voucher {
  /** When the maker said so: of two vouchers the later one counts. Whole seconds. */
  readonly createdOn: WallTime
  /** Left out: it holds for ever. Never beside a nonce. */
  readonly expiresOn?: WallTime
  /** 8 to 32 bytes: of the one request that it answers. */
  readonly nonce?: Uint8Array
  readonly assertion: VoucherAssertion
  /** As `checkSerial` gives it. */
  readonly serial: string
  /** AuthorityKeyIdentifier DER of the board's IDevID: serial numbers are unique within one maker alone. */
  readonly idevidIssuer?: Uint8Array
  /** DER of the root that the board is to trust from then on. */
  readonly pinnedDomainCert: Uint8Array
  /** Where the owner's API answers, `https://host:port`, in order of preference: 1 to 8. */
  readonly api: readonly string[]
  /** Literal addresses of those hosts, for where there is no DNS; at most 8. */
  readonly addresses?: readonly string[]
  /** Public half of the owner's fleet key (Ed25519, 32 bytes), pinned from the beginning. */
  readonly fleetKey?: Uint8Array
}

export type VoucherAssertion = (typeof assertions)[number]

const assertions = ['verified', 'logged', 'proximity'] as const
const container = 'ietf-voucher:voucher'
const leaves = {
  createdOn: 'created-on',
  expiresOn: 'expires-on',
  nonce: 'nonce',
  assertion: 'assertion',
  serial: 'serial-number',
  idevidIssuer: 'idevid-issuer',
  pinned: 'pinned-domain-cert',
  revocationChecks: 'domain-cert-revocation-checks',
  api: 'adit-voucher:api',
  addresses: 'adit-voucher:addresses',
  fleetKey: 'adit-voucher:fleet-key',
} as const

const placeLimit = 8
/** Longest JSON read, in bytes: the CMS around it takes no more. */
const voucherLimit = 32 * 1024

/** UTF-8 JSON, one line. */
export function encodeVoucher(voucher: Voucher): Uint8Array {
  const { expiresOn, nonce, idevidIssuer, addresses, fleetKey } = voucher
  const body = {
    [leaves.createdOn]: dateText(voucher.createdOn),
    ...(expiresOn !== undefined && { [leaves.expiresOn]: dateText(expiresOn) }),
    ...(nonce && { [leaves.nonce]: toBase64(nonce) }),
    [leaves.assertion]: voucher.assertion,
    [leaves.serial]: voucher.serial,
    ...(idevidIssuer && { [leaves.idevidIssuer]: toBase64(idevidIssuer) }),
    [leaves.pinned]: toBase64(voucher.pinnedDomainCert),
    [leaves.revocationChecks]: false,
    [leaves.api]: voucher.api,
    ...(addresses && { [leaves.addresses]: addresses }),
    ...(fleetKey && { [leaves.fleetKey]: toBase64(fleetKey) }),
  }
  return Buffer.from(JSON.stringify({ [container]: body }), 'utf8')
}

/** Throws AditError `voucher-malformed` and nothing else. A leaf that is not known here might restrict what the others say: refused. */
export function decodeVoucher(bytes: Uint8Array): Voucher {
  const body = bodyIn(bytes, container, Object.values(leaves))
  if (body[leaves.revocationChecks] !== undefined && body[leaves.revocationChecks] !== false)
    throw malformed('it asks for checks of revocation that a board cannot make')
  const createdOn = dateIn(body, leaves.createdOn) ?? missing(leaves.createdOn)
  const expiresOn = dateIn(body, leaves.expiresOn)
  const nonce = binaryIn(body, leaves.nonce)
  if (nonce && (nonce.length < 8 || nonce.length > 32)) throw malformed('its nonce is not of 8 to 32 bytes')
  if (nonce && expiresOn !== undefined) throw malformed('it has a nonce and an end')
  if (expiresOn !== undefined && expiresOn <= createdOn) throw malformed('it ends before it begins')
  const assertion = assertions.find((name) => name === body[leaves.assertion]) ?? missing(leaves.assertion)
  const idevidIssuer = binaryIn(body, leaves.idevidIssuer)
  const fleetKey = binaryIn(body, leaves.fleetKey)
  if (fleetKey && fleetKey.length !== 32) throw malformed('its fleet key is not of 32 bytes')
  const addresses = placesIn(body, leaves.addresses, isLiteral)
  return {
    createdOn,
    ...(expiresOn !== undefined && { expiresOn }),
    ...(nonce && { nonce }),
    assertion,
    serial: serialIn(body),
    ...(idevidIssuer && { idevidIssuer }),
    pinnedDomainCert: rootIn(body),
    api: placesIn(body, leaves.api, isHttpsUrl) ?? missing(leaves.api),
    ...(addresses && { addresses }),
    ...(fleetKey && { fleetKey }),
  }
}

/** What one JSON container holds, with no other leaf than `known`. Throws AditError `voucher-malformed`. */
export function bodyIn(bytes: Uint8Array, name: string, known: readonly string[]): Record<string, unknown> {
  if (bytes.length > voucherLimit) throw malformed('it is too long')
  const document = objectIn(jsonOf(bytes))
  const [only, ...others] = Object.keys(document)
  if (only !== name || others.length > 0) throw malformed(`it is no ${name}`)
  const body = objectIn(document[name])
  const stranger = Object.keys(body).find((leaf) => !known.includes(leaf))
  if (stranger !== undefined) throw malformed('it has a leaf that is not known here')
  return body
}

/** As `checkSerial` gives it. Throws AditError `voucher-malformed`. */
export function serialIn(body: Record<string, unknown>): string {
  const serial = body[leaves.serial]
  if (isSerial(serial)) return serial
  throw malformed('its serial number is none')
}

/** A binary leaf; undefined where it is not there. Throws AditError `voucher-malformed`. */
export function binaryIn(body: Record<string, unknown>, leaf: string): Uint8Array | undefined {
  const text = body[leaf]
  if (text === undefined) return undefined
  try {
    if (typeof text === 'string' && text !== '') return fromBase64(text)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  throw malformed(`its ${leaf} is not base64`)
}

/** RFC 3339 in UTC, without fractions: what `dateText` writes, and an offset is read too. */
function dateIn(body: Record<string, unknown>, leaf: string): WallTime | undefined {
  const text = body[leaf]
  if (text === undefined) return undefined
  const isDate = typeof text === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.test(text)
  const ms = isDate ? Date.parse(text) : Number.NaN
  if (!Number.isFinite(ms)) throw malformed(`its ${leaf} is no time`)
  return wallTime(ms)
}

function placesIn(body: Record<string, unknown>, leaf: string, isPlace: (value: unknown) => boolean): string[] | undefined {
  const list = body[leaf]
  if (list === undefined) return undefined
  const isList = Array.isArray(list) && list.length >= 1 && list.length <= placeLimit
  if (!isList || !list.every(isPlace)) throw malformed(`its ${leaf} names no place`)
  return [...(list as string[])]
}

function rootIn(body: Record<string, unknown>): Uint8Array {
  const der = binaryIn(body, leaves.pinned) ?? missing(leaves.pinned)
  try {
    if (parseCertificate(der).extensions.basicConstraints?.ca === true) return der
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
  }
  throw malformed('what it pins is no certificate of an authority')
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw malformed('it is not JSON')
  }
}

function objectIn(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('it is not as a voucher is')
  return value as Record<string, unknown>
}

const dateText = (at: WallTime): string => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z')

const missing = (leaf: string): never => {
  throw malformed(`its ${leaf} is missing or wrong`)
}

const malformed = (why: string): AditError =>
  new AditError('voucher-malformed', `The voucher cannot be used: ${why}.`, 'Ask the maker of the board for another one.')
