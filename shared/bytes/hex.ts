import { bufferView } from './view.ts'

/** Lower-case, two digits a byte. */
export const toHex = (bytes: Uint8Array): string => bufferView(bytes).toString('hex')

/** Throws RangeError unless `text` is an even number of hex digits, of either case. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) throw new RangeError('not an even number of hex digits')
  return Uint8Array.from(Buffer.from(text, 'hex'))
}
