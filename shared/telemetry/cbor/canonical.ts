import { concat } from '#shared/bytes/concat.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import { Major } from './head.ts'
import { CborError, CborFloat, CborSimple, CborTag, type CborValue } from './value.ts'

/**
 * Deterministic encoding (RFC 8949 §4.2.1): shortest integers and floats, definite lengths, map keys in the order of their bytes. Two
 * parties that mean the same write the same bytes, which anything signed needs and cbor-x does not promise.
 */
export function encodeCanonicalCbor(value: CborValue): Uint8Array {
  switch (typeof value) {
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? integer(BigInt(value)) : float(value)
    case 'bigint':
      return integer(value)
    case 'string': {
      if (/\p{Surrogate}/u.test(value)) throw new CborError('type', 'a text with a lone surrogate')
      const utf8 = new TextEncoder().encode(value)
      return concat(head(Major.text, utf8.length), utf8)
    }
    case 'boolean':
      return Uint8Array.of(value ? 0xf5 : 0xf4)
    case 'undefined':
      return Uint8Array.of(0xf7)
    case 'object':
      return value === null ? Uint8Array.of(0xf6) : composite(value)
    default:
      throw new CborError('type', `CBOR has no ${typeof value}`)
  }
}

function composite(value: Exclude<CborValue, null | undefined | boolean | number | bigint | string>): Uint8Array {
  if (value instanceof Uint8Array) return concat(head(Major.bytes, value.length), value)
  if (Array.isArray(value)) return concat(head(Major.array, value.length), ...value.map(encodeCanonicalCbor))
  if (value instanceof CborTag) return concat(head(Major.tag, value.tag), encodeCanonicalCbor(value.content))
  if (value instanceof CborSimple) return head(Major.simple, value.code)
  if (value instanceof CborFloat) return float(value.value)
  const entries: Iterable<readonly [CborValue, CborValue]> =
    value instanceof Map ? value : Object.entries(value as { readonly [key: string]: CborValue })
  const encoded = Array.from(entries, ([key, item]) => ({ key: encodeCanonicalCbor(key), item: encodeCanonicalCbor(item) }))
  encoded.sort((a, b) => Buffer.compare(a.key, b.key))
  return concat(head(Major.map, encoded.length), ...encoded.flatMap(({ key, item }) => [key, item]))
}

function integer(value: bigint): Uint8Array {
  const magnitude = value < 0n ? -1n - value : value
  if (magnitude < 2n ** 64n) return head(value < 0n ? Major.negative : Major.unsigned, magnitude)
  const hex = magnitude.toString(16)
  const bytes = fromHex(hex.length % 2 === 0 ? hex : `0${hex}`)
  return concat(head(Major.tag, value < 0n ? 3 : 2), head(Major.bytes, bytes.length), bytes)
}

function head(major: number, argument: number | bigint): Uint8Array {
  const high = major << 5
  if (argument < 24) return Uint8Array.of(high | Number(argument))
  if (argument < 0x100) return Uint8Array.of(high | 24, Number(argument))
  const size = argument < 0x1_0000 ? 2 : argument < 0x1_0000_0000 ? 4 : 8
  const out = new Uint8Array(1 + size)
  const view = new DataView(out.buffer)
  out[0] = high | (size === 2 ? 25 : size === 4 ? 26 : 27)
  if (size === 2) view.setUint16(1, Number(argument))
  else if (size === 4) view.setUint32(1, Number(argument))
  else view.setBigUint64(1, BigInt(argument))
  return out
}

/** The shortest of binary16, 32 and 64 that holds the value; every NaN is f97e00 (§4.2.2). */
function float(value: number): Uint8Array {
  const half = halfBits(value)
  if (half !== undefined) return Uint8Array.of(0xf9, half >> 8, half & 0xff)
  const single = Math.fround(value) === value
  const out = new Uint8Array(single ? 5 : 9)
  const view = new DataView(out.buffer)
  out[0] = single ? 0xfa : 0xfb
  if (single) view.setFloat32(1, value)
  else view.setFloat64(1, value)
  return out
}

function halfBits(value: number): number | undefined {
  if (Number.isNaN(value)) return 0x7e00
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (magnitude === Number.POSITIVE_INFINITY) return sign | 0x7c00
  if (magnitude === 0) return sign
  if (magnitude > 65504) return undefined
  if (magnitude < 2 ** -14) {
    const fraction = magnitude * 2 ** 24
    return Number.isInteger(fraction) ? sign | fraction : undefined
  }
  let exponent = Math.floor(Math.log2(magnitude))
  if (2 ** exponent > magnitude) exponent--
  const fraction = (magnitude / 2 ** exponent - 1) * 1024
  return Number.isInteger(fraction) ? sign | ((exponent + 15) << 10) | fraction : undefined
}
