import { plainView } from '#shared/bytes/view.ts'

/** A number as OpenSSL gives it, without leading zeros, in `size` bytes. Takes `digits` over: they may be secret, and lie in one place only. */
export function padded(digits: Uint8Array, size: number): Uint8Array {
  if (digits.length === size) return plainView(digits)
  const out = new Uint8Array(size)
  out.set(digits, size - digits.length)
  digits.fill(0)
  return out
}
