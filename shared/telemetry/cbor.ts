/**
 * CBOR (RFC 8949) at our edges. cbor-x does the work; in front of it stands `scanCbor`, because on a stranger's bytes cbor-x alone
 * takes duplicate keys, replaces bad UTF-8, builds objects from tags, and can be made to use up the heap (cbor-x#142).
 */
import { Decoder, Encoder } from 'cbor-x'
import { readFully } from './cbor/full-reader.ts'
import { scanCbor } from './cbor/scan.ts'
import { CborError, type CborLimits, type CborValue, defaultLimits } from './cbor/value.ts'

export { encodeCanonicalCbor } from './cbor/canonical.ts'
export { CborError, CborFloat, type CborLimits, CborSimple, CborTag, type CborValue, defaultLimits } from './cbor/value.ts'

/** Standard maps and byte strings, none of cbor-x's own extensions. */
const options = { useRecords: false, variableMapSize: true, tagUint8Array: false, mapsAsObjects: false } as const
const encoder = new Encoder(options)
const decoder = new Decoder(options)

/** One item, whole. Maps become Maps; byte strings are copies. Throws CborError, and nothing else, on anything outside `limits`. */
export function decodeCbor(bytes: Uint8Array, limits: Partial<CborLimits> = {}): CborValue {
  const all = { ...defaultLimits, ...limits }
  const plain = scanCbor(bytes, all)
  if (!plain) return readFully(bytes, all.exactFloats)
  // cbor-x hands out views of its input and puts a property on it: it gets a copy of its own.
  return decoder.decode(Uint8Array.from(bytes)) as CborValue
}

/** Compact and quick, for messages that nobody signs: integers above 2^32 travel as floats. Fresh memory. Throws CborError `type`. */
export function encodeCbor(value: CborValue): Uint8Array {
  try {
    return Uint8Array.from(encoder.encode(value))
  } catch (error) {
    throw new CborError('type', error instanceof Error ? error.message : 'a value that CBOR cannot say')
  }
}
