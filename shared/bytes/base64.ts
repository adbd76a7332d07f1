import { bufferView } from './view.ts'

/** RFC 4648 §4, padded, one line. */
export const toBase64 = (bytes: Uint8Array): string => bufferView(bytes).toString('base64')

/** RFC 4648 §5, without padding. */
export const toBase64url = (bytes: Uint8Array): string => bufferView(bytes).toString('base64url')

/** Strict RFC 4648 §4: padded, no white space, unused bits zero. Throws RangeError. */
export function fromBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new RangeError('not base64')
  return Uint8Array.from(bytes)
}

/** Strict RFC 4648 §5 without padding: no white space, unused bits zero. Throws RangeError. */
export function fromBase64url(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw new RangeError('not base64url')
  return Uint8Array.from(bytes)
}
