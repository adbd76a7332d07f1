/**
 * Equality of secrets (MACs, tokens, keys) in time that depends on the lengths alone: every byte is looked at, whatever the
 * first difference. Lengths are public; unequal ones are unequal at once.
 */
export function equalConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number)
  return difference === 0
}

/** Equality of public bytes; leaves at the first difference. Never for secrets. */
export function equalPublic(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** True where every byte is zero; looks at all of them. */
export function isAllZero(bytes: Uint8Array): boolean {
  let any = 0
  for (const byte of bytes) any |= byte
  return any === 0
}
