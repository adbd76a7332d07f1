import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { isName } from '#shared/enrolment/name.ts'
import { isSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { CborError, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'

/**
 * What a board needs to be itself, in one file, as a station writes it and the board's agent adopts it:
 *
 *   "ADITUNIT" (8) || length of the CBOR (4, big-endian) || CBOR {v: 1, …} || SHA-256 of all that (32) || zeros
 *
 * It is secret: private keys are in it. The zeros fill it to a multiple of 8,192 bytes, so that the bundle of another try goes into the
 * very place of the one before it. A file that was torn while it was written does not fit its hash (F-02).
 */
export interface UnitBundle {
  /** As `checkSerial` gives it. */
  readonly serial: string
  readonly name: string
  /** PKCS#8 PEM of a P-256 key. */
  readonly identityPem: string
  /** X25519 private key: 32 bytes. */
  readonly tunnelKey: Uint8Array
  /** PEM: the leaf, then its issuers up to the root, which is not in it. */
  readonly chain: string
  /** PEM. */
  readonly root: string
  /** `https://host:port` of the API, in order of preference; 1 to 8. */
  readonly api: readonly string[]
  /** Literal addresses of those hosts, for where there is no DNS; at most 8. */
  readonly addresses?: readonly string[]
  /** Public half of the fleet key: 32 bytes (DESIGN D6). */
  readonly fleetKey?: Uint8Array
}

/** Its name on a card: of the 8.3 form, so that one directory entry holds it. */
export const bundleFile = 'adit-id.bin'

/** Every bundle's length is a multiple of this; bytes. */
export const bundleBlock = 8192

/** Longest bundle that is read, in bytes. */
export const bundleLimit = 8 * bundleBlock

const magic = Buffer.from('ADITUNIT', 'latin1')
const headLength = magic.length + 4
const hashLength = 32
const listLimit = 8
const limits = { bytes: bundleLimit, depth: 3, items: 64 }

/** Fresh memory, which the caller wipes when it is done. */
export function encodeBundle(bundle: UnitBundle, suite: Pick<Suite, 'hash'>): Uint8Array {
  const { serial, name, identityPem, tunnelKey, chain, root, api, addresses, fleetKey } = bundle
  const options = { ...(addresses && { at: addresses }), ...(fleetKey && { fleet: fleetKey }) }
  const body = encodeCanonicalCbor({ v: 1, serial, name, key: identityPem, tunnel: tunnelKey, chain, root, api, ...options })
  const used = headLength + body.length + hashLength
  if (used > bundleLimit) throw new RangeError(`a bundle of ${used} bytes`)
  const bytes = new Uint8Array(Math.ceil(used / bundleBlock) * bundleBlock)
  bytes.set(magic)
  new DataView(bytes.buffer).setUint32(magic.length, body.length)
  bytes.set(body, headLength)
  bytes.set(suite.hash('sha256', bytes.subarray(0, headLength + body.length)), headLength + body.length)
  body.fill(0)
  return bytes
}

/** Throws AditError `bundle-damaged`, which shows nothing of the content. */
export function decodeBundle(bytes: Uint8Array, suite: Pick<Suite, 'hash'>): UnitBundle {
  if (bytes.length < headLength + hashLength) throw damaged('it is cut short')
  if (bytes.length > bundleLimit) throw damaged('it is longer than any bundle')
  if (!equalPublic(bytes.subarray(0, magic.length), magic)) throw damaged('it does not begin as one')
  const end = headLength + new DataView(bytes.buffer, bytes.byteOffset).getUint32(magic.length)
  if (end + hashLength > bytes.length) throw damaged('it is cut short')
  const rest = bytes.subarray(end)
  if (!equalPublic(rest.subarray(0, hashLength), suite.hash('sha256', bytes.subarray(0, end))))
    throw damaged('its hash does not fit')
  if (rest.subarray(hashLength).some((byte) => byte !== 0)) throw damaged('something follows it')
  return readBody(bytes.subarray(headLength, end))
}

function readBody(body: Uint8Array): UnitBundle {
  const map = mapOf(body)
  const text = (name: string, isSound: (value: unknown) => value is string): string => {
    const value = map.get(name)
    if (!isSound(value)) throw wrong(name)
    return value
  }
  const key = (name: string): Uint8Array => {
    const value = map.get(name)
    if (!(value instanceof Uint8Array) || value.length !== 32) throw wrong(name)
    return Uint8Array.from(value)
  }
  const list = (name: string, least: number): string[] => {
    const value = map.get(name)
    if (!Array.isArray(value) || value.length < least || value.length > listLimit || !value.every((v) => typeof v === 'string'))
      throw wrong(name)
    return value
  }
  if (map.get('v') !== 1) throw damaged('it is of a version that this program does not know')
  return {
    serial: text('serial', isSerial),
    name: text('name', isName),
    identityPem: text('key', isPem('PRIVATE KEY')),
    tunnelKey: key('tunnel'),
    chain: text('chain', isPem('CERTIFICATE')),
    root: text('root', isPem('CERTIFICATE')),
    api: list('api', 1),
    ...(map.has('at') && { addresses: list('at', 0) }),
    ...(map.has('fleet') && { fleetKey: key('fleet') }),
  }
}

const isPem =
  (label: string) =>
  (value: unknown): value is string =>
    typeof value === 'string' && value.startsWith(`-----BEGIN ${label}-----`)

function mapOf(body: Uint8Array): ReadonlyMap<CborValue, CborValue> {
  try {
    const value = decodeCbor(body, limits)
    if (value instanceof Map) return value
  } catch (error) {
    if (!(error instanceof CborError)) throw error
  }
  throw damaged('its content cannot be read')
}

const wrong = (field: string): AditError => damaged(`its field "${field}" is not as it should be`)

const damaged = (why: string): AditError =>
  new AditError('bundle-damaged', `The bundle of this unit cannot be used: ${why}.`, 'Let the station write it again.')
