import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { group, nameOf, refusalOf } from '#shared/ikev2/transform.ts'
import { KeyExchangeMethod, TransformType } from '#shared/wire/ike-numbers.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, hexField, textField } from '../fields.ts'
import type { Verdicts } from '../verdict.ts'
import { casesIn } from './cases.ts'

/** strongSwan: `{family: [{kind: 'ke', method, priv_i, priv_r, pub_i, pub_r, shared}]}`, public values as KE payloads carry them. */
export const recognises = (_path: string, contents: unknown): boolean => casesIn(contents, ['ke']).length > 0

const methods: Readonly<Record<string, number>> = {
  MODP_768_BIT: KeyExchangeMethod.Modp768,
  MODP_1024_BIT: KeyExchangeMethod.Modp1024,
  MODP_1536_BIT: KeyExchangeMethod.Modp1536,
  MODP_2048_BIT: KeyExchangeMethod.Modp2048,
  MODP_3072_BIT: KeyExchangeMethod.Modp3072,
  MODP_4096_BIT: KeyExchangeMethod.Modp4096,
  MODP_6144_BIT: KeyExchangeMethod.Modp6144,
  MODP_8192_BIT: KeyExchangeMethod.Modp8192,
  MODP_1024_160: KeyExchangeMethod.Modp1024s160,
  MODP_2048_224: KeyExchangeMethod.Modp2048s224,
  MODP_2048_256: KeyExchangeMethod.Modp2048s256,
  ECP_192_BIT: 25,
  ECP_224_BIT: 26,
  ECP_256_BIT: KeyExchangeMethod.EcpP256,
  ECP_384_BIT: KeyExchangeMethod.EcpP384,
  ECP_521_BIT: KeyExchangeMethod.EcpP521,
  CURVE_25519: KeyExchangeMethod.Curve25519,
  CURVE_448: KeyExchangeMethod.Curve448,
}

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  for (const one of casesIn(contents, ['ke'])) {
    const method = textField(one, 'method')
    const id = methods[method]
    if (id === undefined) {
      verdicts.skip(`key exchange ${method} is not ours`)
      continue
    }
    const transform = { type: TransformType.KeyExchange, id }
    const refusal = refusalOf(transform)
    if (refusal !== undefined) verdicts.skip(`key exchange ${nameOf(transform)} is refused: ${refusal}`)
    else verdicts.settle(path, textField(one, 'id'), () => judgeOne(one, id))
  }
}

function judgeOne(one: Fields, id: number): string | undefined {
  const ends = [
    [hexField(one, 'priv_i'), hexField(one, 'pub_i'), hexField(one, 'pub_r')],
    [hexField(one, 'priv_r'), hexField(one, 'pub_r'), hexField(one, 'pub_i')],
  ] as const
  const shared = hexField(one, 'shared')
  return underBoth((suite) => {
    const exchange = group(id, suite)
    if (exchange === undefined) return 'is in our list and not in our crypto port'
    for (const [privateKey, publicKey, peer] of ends) {
      const pair = exchange.pair(privateKey)
      if (!equalPublic(pair.publicKey, publicKey)) return `its public value became ${toHex(pair.publicKey)}`
      const secret = exchange.shared(pair, peer)
      if (!equalPublic(secret, shared)) return `the secret became ${toHex(secret)}`
    }
    return undefined
  })
}
