import { toHex } from '#shared/bytes/hex.ts'
import { cryptoFunctions, hkdf2, hkdf3, hkdfExtract, hkdfFirst } from '#shared/noise/crypto-functions.ts'
import { parseProtocolName } from '#shared/noise/protocol-name.ts'
import { CONSTRUCTION } from '#shared/tunnel/wireguard-constants.ts'
import { underBoth } from '../both-providers.ts'
import { hexField, isFields, isFieldsArray, textField } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'

/** wireguard-go's kdf_test: `{vectors: [{key, input, t0, t1?, t2?}]}`, the outputs of KDF3. */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) && isFieldsArray(contents.vectors) && contents.vectors.some((vector) => typeof vector.t0 === 'string')

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.vectors)) throw new BrokenFormat(`${path} has no vectors`)
  for (const [index, vector] of contents.vectors.entries()) {
    const stated = ['t0', 't1', 't2'].filter((name) => name in vector).map((name) => textField(vector, name).toLowerCase())
    verdicts.settle(path, index, () =>
      underBoth((suite) => {
        const key = hexField(vector, 'key')
        const input = hexField(vector, 'input')
        const f = cryptoFunctions(suite, parseProtocolName(CONSTRUCTION))
        const outputs = [[hkdfFirst(f, hkdfExtract(f, key, input))], hkdf2(f, key, input), hkdf3(f, key, input)]
        for (const output of outputs)
          for (const [at, bytes] of output.entries())
            if (at < stated.length && toHex(bytes) !== stated[at])
              return `KDF${output.length} gives ${toHex(bytes)} as output ${at}`
        return undefined
      }),
    )
  }
}
