import { type IdentityKey, signAs } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { CborError, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'
import { refused } from './statement.ts'

/**
 * What a device says with the last signature of its identity key: that it has carried out an order to forget its fleet.
 *
 *   [payload: bstr, signature: bstr]      ECDSA P-256 with SHA-256, DER, over "adit wiped 1" 00 payload
 *   payload = {v: 1, order: tstr, fleet: bstr .size 32, at: uint, erased: uint, left: [* tstr]}
 */
export interface WipeEvidence {
  /** The order's number: 32 hex digits. */
  readonly order: string
  /** SHA-256 of the root certificate of the fleet that it leaves, 32 bytes. */
  readonly fleet: Uint8Array
  /** At the device's time floor, ms since 1970. */
  readonly at: number
  /** Files that are gone already; what it signs with goes after the broker has this. */
  readonly erased: number
  /** Names of files that it could not erase. */
  readonly left: readonly string[]
}

/** Longest evidence that is read, bytes; names in it at most. */
export const EVIDENCE_LIMIT = 8_192
const leftLimit = 64

const prefix = new TextEncoder().encode('adit wiped 1\0')

export function signEvidence(evidence: WipeEvidence, identity: IdentityKey, suite: Pick<Suite, 'ecdsaP256'>): Uint8Array {
  const { order, fleet, at, erased } = evidence
  const left = evidence.left.slice(0, leftLimit).map((name) => name.slice(0, 64))
  const fields: [string, CborValue][] = [
    ['v', 1],
    ['order', order],
    ['fleet', fleet],
    ['at', Math.max(0, Math.floor(at))],
    ['erased', erased],
    ['left', left],
  ]
  const payload = encodeCanonicalCbor(new Map<CborValue, CborValue>(fields))
  return encodeCanonicalCbor([payload, signAs(identity, Buffer.concat([prefix, payload]), suite)])
}

/** `publicKey`: 65-byte point of the device's identity key. Throws AditError `statement-refused`. */
export function openEvidence(bytes: Uint8Array, publicKey: Uint8Array, suite: Pick<Suite, 'ecdsaP256'>): WipeEvidence {
  try {
    if (bytes.length > EVIDENCE_LIMIT) throw new CborError('malformed', 'it is too long')
    const limits = { depth: 3, items: 128, bytes: bytes.length }
    const outer = decodeCbor(bytes, limits)
    const [payload, signature] = Array.isArray(outer) ? outer : []
    if (!(payload instanceof Uint8Array && signature instanceof Uint8Array)) throw new CborError('malformed', 'it is no evidence')
    if (!suite.ecdsaP256.verify(publicKey, Buffer.concat([prefix, payload]), signature))
      throw refused('its signature does not fit')
    const body = decodeCbor(payload, limits)
    const field = (name: string): unknown => (body instanceof Map ? body.get(name) : undefined)
    const [order, fleet, at, erased, left] = ['order', 'fleet', 'at', 'erased', 'left'].map(field)
    const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
    if (field('v') !== 1 || typeof order !== 'string' || !(fleet instanceof Uint8Array) || !isWhole(at) || !isWhole(erased))
      throw new CborError('malformed', 'it is no evidence')
    const names = Array.isArray(left) ? left.filter((name) => typeof name === 'string') : []
    return { order, fleet, at, erased, left: names }
  } catch (error) {
    if (error instanceof CborError) throw refused(`it cannot be read: ${error.message}`, 'Use programs of matching versions.')
    throw error
  }
}
