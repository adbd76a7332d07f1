import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { prfFunction } from '#shared/ikev2/key-material.ts'
import { nameOf, type PrfDescriptor, prf, refusalOf } from '#shared/ikev2/transform.ts'
import { Prf, TransformType } from '#shared/wire/ike-numbers.ts'
import { underBoth } from '../both-providers.ts'
import { hexField, textField } from '../fields.ts'
import type { Verdicts } from '../verdict.ts'
import { casesIn } from './cases.ts'
import { rfc4231Cases, rfc4231Hash } from './rfc4231.ts'

/** strongSwan's `{family: [{kind: 'prf', alg, key, seed, out}]}`, and the HMAC cases of RFC 4231 as text. */
export const recognises = (path: string, contents: unknown): boolean =>
  casesIn(contents, ['prf']).length > 0 || rfc4231Hash(path, contents) !== undefined

const algorithms: Readonly<Record<string, number>> = {
  PRF_HMAC_MD5: Prf.HmacMd5,
  PRF_HMAC_SHA1: Prf.HmacSha1,
  PRF_HMAC_SHA2_256: Prf.HmacSha256,
  PRF_HMAC_SHA2_384: Prf.HmacSha384,
  PRF_HMAC_SHA2_512: Prf.HmacSha512,
  PRF_AES128_XCBC: Prf.AesXcbc,
  PRF_AES128_CMAC: Prf.AesCmac,
}

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  for (const one of casesIn(contents, ['prf'])) {
    const name = textField(one, 'alg')
    const id = algorithms[name]
    const descriptor = id === undefined ? undefined : prf(id)
    if (descriptor === undefined) verdicts.skip(prfRefusal(name))
    else
      verdicts.settle(path, textField(one, 'id'), () =>
        judgeOne(descriptor, hexField(one, 'key'), hexField(one, 'seed'), hexField(one, 'out')),
      )
  }
  const hash = rfc4231Hash(path, contents)
  if (hash === undefined) return
  for (const [index, { key, message, digest }] of rfc4231Cases(contents).entries()) {
    const descriptor = prf(algorithms[`PRF_HMAC_SHA2_${hash}`] ?? 0)
    if (descriptor === undefined) verdicts.skip(`PRF HMAC-SHA-${hash} is not ours`)
    else verdicts.settle(path, index, () => judgeOne(descriptor, key, message, digest))
  }
}

/** Why a PRF of the registry is not ours. */
export function prfRefusal(name: string): string {
  const id = algorithms[name]
  if (id === undefined) return `PRF ${name} is not ours`
  const transform = { type: TransformType.Prf, id }
  return `PRF ${nameOf(transform)} is refused: ${refusalOf(transform) ?? 'it is not spoken'}`
}

/** The descriptor of a PRF by its name in the registry. */
export const prfNamed = (name: string): PrfDescriptor | undefined => prf(algorithms[name] ?? 0)

function judgeOne(descriptor: PrfDescriptor, key: Uint8Array, seed: Uint8Array, out: Uint8Array): string | undefined {
  return underBoth((suite) => {
    const made = prfFunction(suite, descriptor)(key, seed)
    return made.length === descriptor.outputBytes && equalPublic(made, out) ? undefined : `it became ${toHex(made)}`
  })
}
