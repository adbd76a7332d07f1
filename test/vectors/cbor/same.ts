import { equalPublic } from '#shared/bytes/equal.ts'
import { CborFloat, CborSimple, CborTag, type CborValue } from '#shared/telemetry/cbor.ts'

/**
 * Whether two values are the same data. A float that holds an integer equals that integer, NaN equals NaN, and -0 equals 0 only where
 * `looseNumbers` says that one side came through JSON, which also rounds integers above 2^53.
 */
export function sameCbor(a: CborValue, b: CborValue, looseNumbers = false): boolean {
  if (a instanceof CborFloat) return sameCbor(a.value, b, looseNumbers)
  if (b instanceof CborFloat) return sameCbor(a, b.value, looseNumbers)
  if (looseNumbers && isNumeric(a) && isNumeric(b)) return Number(a) === Number(b) || (Number.isNaN(a) && Number.isNaN(b))
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b)
  if (a instanceof Uint8Array || b instanceof Uint8Array)
    return a instanceof Uint8Array && b instanceof Uint8Array && equalPublic(a, b)
  if (a instanceof CborSimple) return b instanceof CborSimple && a.code === b.code
  if (a instanceof CborTag)
    return b instanceof CborTag && BigInt(a.tag) === BigInt(b.tag) && sameCbor(a.content, b.content, looseNumbers)
  if (Array.isArray(a) || Array.isArray(b))
    return (
      Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => sameCbor(item, b[i], looseNumbers))
    )
  const left = entriesOf(a)
  const right = entriesOf(b)
  return (
    left.length === right.length &&
    left.every(([key, value]) =>
      right.some(([other, item]) => sameCbor(key, other, looseNumbers) && sameCbor(value, item, looseNumbers)),
    )
  )
}

const isNumeric = (value: unknown): value is number | bigint => typeof value === 'number' || typeof value === 'bigint'

/** A JavaScript Map cannot hold -0 as a key: it becomes 0 on the way in. */
function entriesOf(value: object): (readonly [CborValue, CborValue])[] {
  const entries: (readonly [CborValue, CborValue])[] = value instanceof Map ? [...value] : Object.entries(value)
  return entries.map(([key, item]) => [key instanceof CborFloat ? key.value + 0 : key, item])
}
