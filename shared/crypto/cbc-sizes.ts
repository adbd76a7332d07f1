import { CryptoError } from './suite.ts'

export const cbcKeyLengths = [16, 24, 32] as const
const blockLength = 16

/** What every use of an AES-CBC key must keep to, in both providers. */
export function checkCbcSizes(wiped: boolean, iv: Uint8Array, input: Uint8Array, out: Uint8Array): void {
  if (wiped) throw new CryptoError('key', 'this key has been wiped')
  if (iv.length !== blockLength) throw new CryptoError('length', `an IV has ${blockLength} bytes, not ${iv.length}`)
  if (input.length % blockLength !== 0) throw new CryptoError('length', `${input.length} bytes are not whole blocks`)
  if (out.length < input.length) throw new CryptoError('length', `the output needs ${input.length} bytes, has ${out.length}`)
}
