import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import { CryptoError, type DiffieHellman } from '#shared/crypto/suite.ts'
import { underBoth } from '../both-providers.ts'
import { hexField, textField } from '../fields.ts'
import type { Judgement } from '../verdict.ts'
import { type GroupJudge, hasFlag, type WycheproofCase } from './group.ts'
import {
  curves,
  type Decoded,
  fromPem,
  type NamedCurve,
  privateFromDer,
  privateFromJwk,
  publicFromDer,
  publicFromJwk,
  scalar,
} from './key-encodings.ts'

/** Reads the two keys of a case; undefined: refused by its encoding. */
type KeyReader = (curve: NamedCurve, one: WycheproofCase) => { publicKey: Decoded; privateKey: Decoded }

const rawKeys: KeyReader = (_, { test }) => ({ publicKey: hexField(test, 'public'), privateKey: hexField(test, 'private') })

const derKeys: KeyReader = (curve, { test }) => ({
  publicKey: publicFromDer(curve, hexField(test, 'public')),
  privateKey:
    curve.kty === 'OKP' ? privateFromDer(curve, hexField(test, 'private')) : scalar(hexField(test, 'private'), curve.size),
})

const pemKeys: KeyReader = (curve, { test }) => {
  const publicDer = fromPem(textField(test, 'public'))
  const privateDer = fromPem(textField(test, 'private'))
  return {
    publicKey: publicDer && publicFromDer(curve, publicDer),
    privateKey: privateDer && privateFromDer(curve, privateDer),
  }
}

const jwkKeys: KeyReader = (curve, { test }) => ({
  publicKey: publicFromJwk(curve, test.public),
  privateKey: privateFromJwk(curve, test.private),
})

const pointKeys: KeyReader = (curve, { test }) => ({
  publicKey: hexField(test, 'public'),
  privateKey: scalar(hexField(test, 'private'), curve.size),
})

export const judgeXdh = (form: 'raw' | 'der' | 'pem' | 'jwk'): GroupJudge =>
  agreement({ raw: rawKeys, der: derKeys, pem: pemKeys, jwk: jwkKeys }[form])
export const judgeEcdh = (form: 'der' | 'jwk' | 'point'): GroupJudge =>
  agreement({ der: derKeys, jwk: jwkKeys, point: pointKeys }[form])

/**
 * `valid`: the secret, to the byte. `invalid`: refused, by encoding or by arithmetic. `acceptable`: an all-zero secret must be refused
 * the secret, where computed, must be right; a key form that we do not read (compressed, explicit parameters, BER) is skipped.
 */
function agreement(readKeys: KeyReader): GroupJudge {
  return (one): Judgement => {
    const curveName = textField(one.group, 'curve')
    const curve = curves[curveName]
    if (curve === undefined) return { skip: `key agreement over ${curveName} is not in the crypto port` }
    const { publicKey, privateKey } = readKeys(curve, one)
    const expectedSecret = fromHex(textField(one.test, 'shared'))
    let refusedForm = false
    const complaint = underBoth((suite) => {
      const outcome =
        publicKey === undefined || privateKey === undefined ? 'refused' : agree(curve.diffieHellman(suite), privateKey, publicKey)
      if (outcome === 'refused') {
        const compressed = hasFlag(one, 'CompressedPoint', 'CompressedPublic')
        if (one.expected === 'valid' && !compressed) return 'refused what is valid'
        refusedForm = one.expected !== 'invalid' && !hasFlag(one, 'ZeroSharedSecret', 'LowOrderPublic')
        return undefined
      }
      if (one.expected === 'invalid') return 'agreed with a key that must be refused'
      if (hasFlag(one, 'ZeroSharedSecret')) return 'agreed on an all-zero secret'
      return equalPublic(outcome, expectedSecret) ? undefined : 'agreed on another secret'
    })
    if (complaint === undefined && refusedForm)
      return {
        skip: `${one.algorithm} ${curve.crv}: a public key in a form outside our profile (BER, compressed, explicit parameters: refused)`,
      }
    return complaint
  }
}

function agree(dh: DiffieHellman, privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | 'refused' {
  try {
    return dh.shared(dh.pair(privateKey), publicKey)
  } catch (error) {
    if (error instanceof CryptoError) return 'refused'
    throw error
  }
}
