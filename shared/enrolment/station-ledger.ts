import { concat } from '#shared/bytes/concat.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { type IdentityKey, signAs } from '#shared/crypto/identity-signer.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { CborError, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'

/**
 * A station's ledger: what became of each unit, in the order of the happening, as the station wrote it and the broker reads it. An entry
 * is canonical CBOR, a map of texts; each hash covers everything before it; the station's identity key signs heads of the chain:
 *
 *   hash(0) = SHA-256("adit station ledger" || SPKI of the station's identity key)
 *   hash(n) = SHA-256(hash(n-1) || entry n)
 *   seal(n) = ECDSA P-256 with SHA-256 over "adit station seal" || n (8, big-endian) || hash(n)
 */
export type LedgerEntry = { readonly at: number } & (
  | { readonly kind: 'begun'; readonly station: string }
  /** The station's CA, from here on: DER. */
  | { readonly kind: 'delegated'; readonly certificate: Uint8Array }
  | {
      readonly kind: 'opened'
      readonly unit: string
      readonly name: string
      readonly way: EntryWay
      /** Serial of the unit in whose place it comes. */
      readonly replaces?: string
    }
  | { readonly kind: 'retried'; readonly unit: string; readonly way: EntryWay }
  | {
      readonly kind: 'issued'
      readonly unit: string
      /** DER, and who signed it. */
      readonly certificate: Uint8Array
      readonly by: 'station' | 'broker'
      /** Serial number (hex) of the undelivered certificate in whose place it comes: the unit's key was lost. */
      readonly instead?: string
    }
  | { readonly kind: 'delivered'; readonly unit: string; readonly evidence: string }
  | {
      readonly kind: 'failed'
      readonly unit: string
      readonly code: string
      readonly message: string
      readonly mend: string
    }
  | { readonly kind: 'scrapped'; readonly unit: string; readonly reason: string }
  | { readonly kind: 'labelled'; readonly unit: string }
)

export type EntryKind = LedgerEntry['kind']
export type EntryWay = 'image' | 'network' | 'serial'

const label = Buffer.from('adit station ledger', 'ascii')
const sealLabel = Buffer.from('adit station seal', 'ascii')
/** Longest entry, in bytes: a certificate has some 700. */
const entryLimit = 16 * 1024
/** Longest text in an entry, in characters. */
export const longestText = 1_000

/** What an entry of each kind has, beside `kind` and `at`; with a question mark where it may be left out. */
const fields: Record<EntryKind, Record<string, 'text' | 'bytes' | 'way' | 'by' | 'text?'>> = {
  begun: { station: 'text' },
  delegated: { certificate: 'bytes' },
  opened: { unit: 'text', name: 'text', way: 'way', replaces: 'text?' },
  retried: { unit: 'text', way: 'way' },
  issued: { unit: 'text', certificate: 'bytes', by: 'by', instead: 'text?' },
  delivered: { unit: 'text', evidence: 'text' },
  failed: { unit: 'text', code: 'text', message: 'text', mend: 'text' },
  scrapped: { unit: 'text', reason: 'text' },
  labelled: { unit: 'text' },
}

export const encodeEntry = (entry: LedgerEntry): Uint8Array => encodeCanonicalCbor(entry as { readonly [key: string]: CborValue })

/** Throws AditError `ledger-damaged`. What it takes is what `encodeEntry` makes, byte for byte. */
export function decodeEntry(bytes: Uint8Array): LedgerEntry {
  const map = read(bytes)
  const kind = map.get('kind')
  const shape = typeof kind === 'string' && Object.hasOwn(fields, kind) ? fields[kind as EntryKind] : undefined
  if (shape === undefined || !Number.isSafeInteger(map.get('at'))) throw damaged('an entry of no known kind')
  const known = Object.entries({ ...shape })
  for (const [name, form] of known) if (!fits(map.get(name), form)) throw damaged(`an entry whose ${name} is wrong`)
  for (const name of map.keys())
    if (name !== 'kind' && name !== 'at' && !Object.hasOwn(shape, name)) throw damaged('an entry with more in it')
  const entry = Object.fromEntries(map) as unknown as LedgerEntry
  if (!equalPublic(encodeEntry(entry), bytes)) throw damaged('an entry that is not in its one form')
  return entry
}

function read(bytes: Uint8Array): Map<string, unknown> {
  try {
    const value = decodeCbor(bytes, { bytes: entryLimit, depth: 2, items: 16 })
    if (value instanceof Map && [...value.keys()].every((key) => typeof key === 'string')) return value as Map<string, unknown>
  } catch (error) {
    if (!(error instanceof CborError)) throw error
  }
  throw damaged('an entry that cannot be read')
}

function fits(value: unknown, form: 'text' | 'bytes' | 'way' | 'by' | 'text?'): boolean {
  switch (form) {
    case 'bytes':
      return value instanceof Uint8Array && value.length > 0
    case 'way':
      return value === 'image' || value === 'network' || value === 'serial'
    case 'by':
      return value === 'station' || value === 'broker'
    case 'text?':
      return value === undefined || (typeof value === 'string' && value.length > 0 && value.length <= longestText)
    default:
      return typeof value === 'string' && value.length <= longestText
  }
}

/** Where the chain stands: the number of its last entry, 0 where there is none, and the hash. */
export interface LedgerHead {
  readonly number: number
  readonly hash: Uint8Array
}

type Hasher = Pick<Suite, 'hash'>

/** `spki`: of the station's identity key, DER. */
export const firstHead = (spki: Uint8Array, suite: Hasher): LedgerHead => ({
  number: 0,
  hash: suite.hash('sha256', label, spki),
})

/** The head behind one more entry. */
export const nextHead = ({ number, hash }: LedgerHead, entry: Uint8Array, suite: Hasher): LedgerHead => ({
  number: number + 1,
  hash: suite.hash('sha256', hash, entry),
})

function sealedBytes({ number, hash }: LedgerHead): Uint8Array {
  const at = new Uint8Array(8)
  new DataView(at.buffer).setBigUint64(0, BigInt(number))
  return concat(sealLabel, at, hash)
}

/** The station's signature over a head: DER. */
export const sealHead = (head: LedgerHead, identity: IdentityKey, suite: Pick<Suite, 'ecdsaP256'>): Uint8Array =>
  signAs(identity, sealedBytes(head), suite)

/** `publicKey`: 65 bytes. */
export const isSealOf = (
  head: LedgerHead,
  signature: Uint8Array,
  publicKey: Uint8Array,
  suite: Pick<Suite, 'ecdsaP256'>,
): boolean => suite.ecdsaP256.verify(publicKey, sealedBytes(head), signature)

export const damaged = (what: string): AditError =>
  new AditError('ledger-damaged', `The ledger is damaged: ${what}.`, 'Keep the file as it is, and ask the administrator.')
