import { Encoder } from 'cbor-x'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/**
 * A claim token: the short-lived right to enrol, as a person copies it.
 *
 *   adit1-BASE64URL( CBOR {v: 1, api: [url …], ca: 32 bytes, id: 8 bytes, secret: 16 bytes, role: text, at?: [address …],
 *                     fleet?: 32 bytes}
 *                    || SHA-256(CBOR)[0..4) )
 *
 * The checksum catches mistyping before anything is sent; the secret is what proves the right.
 */
export interface Claim {
  /** Where the broker's API answers: `https://host:port`, in order of preference; 1 to 8 of them. */
  readonly api: readonly string[]
  /** SHA-256 of the root certificate's DER: 32 bytes. */
  readonly ca: Uint8Array
  /** 8 bytes; names the claim in the registry. */
  readonly id: Uint8Array
  /** 16 bytes, secret. */
  readonly secret: Uint8Array
  readonly role: ClaimRole
  /** Literal addresses of the hosts that `api` names, for where there is no DNS (F-08); at most 8. Who answers there is proven by `ca`. */
  readonly addresses?: readonly string[]
  /** Public half of the fleet key (Ed25519, 32 bytes), pinned from the enrolment on (DESIGN D6). */
  readonly fleetKey?: Uint8Array
}

export type ClaimRole = 'device' | 'operator' | 'station'

const prefix = 'adit1-'
const checksumLength = 4
/** Longest token read, in characters: eight URLs of 253 bytes fit. */
const tokenLimit = 4096
const urlLimit = 8
const addressLimit = 8

const codec = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false })

export function encodeClaim(claim: Claim, suite: Pick<Suite, 'hash'>): string {
  const { api, ca, id, secret, role, addresses, fleetKey } = claim
  const options = { ...(addresses && { at: addresses }), ...(fleetKey && { fleet: fleetKey }) }
  const body = codec.encode({ v: 1, api, ca, id, secret, role, ...options })
  return prefix + Buffer.concat([body, checksum(body, suite)]).toString('base64url')
}

/** Throws AditError `claim-malformed` with a message that never shows the token. */
export function decodeClaim(token: string, suite: Pick<Suite, 'hash'>): Claim {
  const text = token.trim()
  if (!text.startsWith(prefix)) throw malformed(`it does not begin with ${prefix}`)
  if (text.length > tokenLimit) throw malformed(`it is longer than ${tokenLimit} characters`)
  const encoded = text.slice(prefix.length)
  if (!/^[A-Za-z0-9_-]+$/.test(encoded)) throw malformed('it has characters that no token has')
  const bytes = Buffer.from(encoded, 'base64url')
  if (bytes.toString('base64url') !== encoded || bytes.length <= checksumLength) throw malformed('it is cut short')
  const body = bytes.subarray(0, -checksumLength)
  if (!bytes.subarray(-checksumLength).equals(checksum(body, suite))) throw malformed('its checksum does not fit')
  return readBody(body)
}

function readBody(body: Buffer): Claim {
  let value: unknown
  try {
    value = codec.decode(body)
  } catch (cause) {
    throw malformed('its content cannot be read', cause)
  }
  if (typeof value !== 'object' || value === null) throw malformed('its content cannot be read')
  const { v, api, ca, id, secret, role, at, fleet } = value as Record<string, unknown>
  if (v !== 1) throw malformed('it is of a version that this program does not know')
  if (!Array.isArray(api) || api.length < 1 || api.length > urlLimit || !api.every(isHttpsUrl)) throw malformed('it names no API')
  if (!isBytes(ca, 32) || !isBytes(id, 8) || !isBytes(secret, 16)) throw malformed('a field has the wrong size')
  if (role !== 'device' && role !== 'operator' && role !== 'station')
    throw malformed('it is for a role that this program does not know')
  if (at !== undefined && !(Array.isArray(at) && at.length <= addressLimit && at.every(isLiteral)))
    throw malformed('an address in it is none')
  if (fleet !== undefined && !isBytes(fleet, 32)) throw malformed('its fleet key has the wrong size')
  // Copies, since the decoder hands out views of the token's buffer.
  const copies = { ca: Uint8Array.from(ca), id: Uint8Array.from(id), secret: Uint8Array.from(secret) }
  return { api: [...api], ...copies, role, ...(at && { addresses: [...at] }), ...(fleet && { fleetKey: Uint8Array.from(fleet) }) }
}

/** Where an API may answer: nothing in the URL beside host, port and path. */
export function isHttpsUrl(value: unknown): value is string {
  if (typeof value !== 'string' || !URL.canParse(value)) return false
  const url = new URL(value)
  return url.protocol === 'https:' && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
}

/** An address without a name. */
export const isLiteral = (value: unknown): boolean => typeof value === 'string' && tryParseAddress(value) !== undefined

const isBytes = (value: unknown, length: number): value is Uint8Array => value instanceof Uint8Array && value.length === length

const checksum = (body: Uint8Array, suite: Pick<Suite, 'hash'>): Uint8Array =>
  suite.hash('sha256', body).subarray(0, checksumLength)

const malformed = (why: string, cause?: unknown): AditError =>
  new AditError('claim-malformed', `The claim token cannot be used: ${why}.`, 'Copy the whole token again, as it was printed.', {
    cause,
  })
