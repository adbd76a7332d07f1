import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, hexField, isFields, isFieldsArray, optionalHex, optionalText, textField } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'

/**
 * The kernel's chacha20poly1305 self-test: `{vectors: [{id, kind: enc|dec|xenc|xdec, key, nonce, aad, input, output, mustFail}]}`.
 * A nonce of 8 bytes is WireGuard's 64-bit counter, of 24 bytes XChaCha's.
 */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) &&
  isFieldsArray(contents.vectors) &&
  contents.vectors.some((vector) => typeof vector.kind === 'string' && typeof vector.nonce === 'string')

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.vectors)) throw new BrokenFormat(`${path} has no vectors`)
  for (const [index, vector] of contents.vectors.entries()) {
    const id = `${index} ${optionalText(vector, 'id', 'name') ?? ''}`
    verdicts.settle(path, id, () => underBoth((suite) => judgeOne(suite, vector)))
  }
}

function judgeOne(suite: Suite, vector: Fields): string | undefined {
  const nonce = hexField(vector, 'nonce')
  const input = hexField(vector, 'input')
  const aad = optionalHex(vector, 'aad')
  const output = vector.mustFail === true ? undefined : hexField(vector, 'output')
  const algorithm = nonce.length === 24 ? suite.xchacha20poly1305 : suite.chacha20poly1305
  const key = algorithm.key(hexField(vector, 'key'))
  const out = new Uint8Array(input.length + 16)
  const isOpening = textField(vector, 'kind').endsWith('dec')
  const length = isOpening ? key.open(wide(nonce), aad, input, out) : key.seal(wide(nonce), aad, input, out)
  if (output === undefined) return length < 0 ? undefined : 'a forgery was taken'
  if (length < 0) return 'an authentic message was refused'
  const made = out.subarray(0, length)
  return equalPublic(made, output) ? undefined : `it became ${toHex(made)}`
}

/** WireGuard §5.4.6: a counter is the last 8 bytes of a nonce of 12. */
function wide(nonce: Uint8Array): Uint8Array {
  if (nonce.length !== 8) return nonce
  const out = new Uint8Array(12)
  out.set(nonce, 4)
  return out
}
