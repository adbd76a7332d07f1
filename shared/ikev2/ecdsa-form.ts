import { concat } from '#shared/bytes/concat.ts'
import { DerReader, Tag } from '#shared/pki/der.ts'
import { sequence, unsignedInteger } from '#shared/pki/der-writer.ts'

/**
 * ECDSA signatures in the two forms of IKE: methods 9 and 10 carry r and s side by side, each as long as the field (RFC 4754 §7);
 * method 14 carries the DER of ECDSA-Sig-Value (RFC 7427 appendix A).
 */
export function derFromRaw(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2
  return sequence(unsignedInteger(raw.subarray(0, half)), unsignedInteger(raw.subarray(half)))
}

/** `field`: 32 (P-256) or 48 (P-384) bytes. The DER is our own signer's. */
export function rawFromDer(der: Uint8Array, field: number): Uint8Array {
  const numbers = new DerReader(der).sequence()
  return concat(widen(numbers.content(Tag.Integer), field), widen(numbers.content(Tag.Integer), field))
}

function widen(integer: Uint8Array, field: number): Uint8Array {
  const digits = integer.length > field ? integer.subarray(integer.length - field) : integer
  const out = new Uint8Array(field)
  out.set(digits, field - digits.length)
  return out
}
