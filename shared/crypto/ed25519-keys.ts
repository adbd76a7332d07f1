const p = 2n ** 255n - 19n

/** The y coordinates of the eight points whose order divides 8, with the encodings of them that are not reduced mod p. */
const smallOrderY: readonly bigint[] = [
  0n,
  1n,
  p - 1n,
  p,
  p + 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
]

/**
 * True for an Ed25519 public key of small order, or whose y is not reduced: nobody generates such a key, and with one of them a
 * signature can be made that holds for many messages (RFC 8032 §5.1.3 refuses the second; libraries differ on the first).
 */
export function isUnsafeEd25519Key(publicKey: Uint8Array): boolean {
  const last = (publicKey[31] as number) & 0x7f
  // Cheap way out: every small-order y but two has a last byte of 00 or 7f, and those two end in 05 and 7a.
  if (last !== 0x7f && last !== 0 && last !== 0x05 && last !== 0x7a) return false
  let y = BigInt(last)
  for (let i = 30; i >= 0; i--) y = (y << 8n) | BigInt(publicKey[i] as number)
  return y >= p || smallOrderY.includes(y)
}
