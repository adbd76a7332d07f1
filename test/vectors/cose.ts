import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { Signer, Suite } from '#shared/crypto/suite.ts'
import { Algorithm, decodeSign1, Header, type Sign1, sigStructure, verifySign1 } from '#shared/fleet/cose-sign1.ts'
import { CborError } from '#shared/telemetry/cbor.ts'
import { providers } from './both-providers.ts'
import { type Fields, isFields, optionalHex, optionalText, textField } from './fields.ts'
import { BrokenFormat, type Judgement, type Verdicts } from './verdict.ts'

/** The COSE working group's examples of COSE_Sign1: `{input: {sign0, plaintext, fail?}, intermediates, output: {cbor}}`. */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) && isFields(contents.input) && isFields(contents.input.sign0) && isFields(contents.output)

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFields(contents.input) || !isFields(contents.output))
    throw new BrokenFormat(`${path} is no example of COSE_Sign1`)
  const { input, output } = contents
  verdicts.settle(path, String(contents.title), () => judgeExample(contents, input, output))
}

function judgeExample(example: Fields, input: Fields, output: Fields): Judgement {
  const sign = input.sign0 as Fields
  const key = publicKey(sign.key as Fields)
  if (key === undefined) return { skip: 'a COSE key of another curve than P-256 and Ed25519' }
  const cbor = fromHex(textField(output, 'cbor'))
  if (isFields(input.failures) && 'RemoveCBORTag' in input.failures)
    return { skip: 'a COSE_Sign1 without its tag, which no statement lacks' }
  const fails = example.fail === true || input.fail === true
  const aad = optionalHex(sign, 'external') ?? new Uint8Array()
  let message: Sign1
  try {
    message = decodeSign1(cbor, 65_536)
  } catch (error) {
    if (!(error instanceof CborError)) throw error
    return fails ? undefined : `was refused: ${error.message}`
  }
  const stated = isFields(example.intermediates) ? optionalText(example.intermediates, 'ToBeSign_hex') : undefined
  const toBeSigned = toHex(sigStructure(message, aad))
  if (!fails && stated !== undefined && toBeSigned !== stated.toLowerCase()) return `signs ${toBeSigned}`
  if (!fails && signerOf(message, nativeSuite) === undefined) return { skip: 'a COSE algorithm that is neither ES256 nor EdDSA' }
  for (const suite of providers) {
    const signer = signerOf(message, suite)
    const holds = signer !== undefined && verifySign1(message, signer, key, aad)
    if (holds === fails) return `${suite.name}: ${holds ? 'was taken although it is broken' : 'did not verify'}`
  }
  return resigned(message, sign, key, aad)
}

/** Ed25519 has one signature for one message: ours must be the example's. */
function resigned(message: Sign1, sign: Fields, key: Uint8Array, aad: Uint8Array): Judgement {
  const secret = optionalHex(sign.key as Fields, 'd_hex')
  if (secret === undefined || (sign.key as Fields).crv !== 'Ed25519') return undefined
  const pair = nativeSuite.ed25519.pair(secret)
  if (!equalPublic(pair.publicKey, key)) return 'has another public key'
  return equalPublic(nativeSuite.ed25519.sign(pair, sigStructure(message, aad)), message.signature)
    ? undefined
    : 'was signed otherwise'
}

function signerOf({ protectedHeader, unprotectedHeader }: Sign1, suite: Suite): Signer | undefined {
  const algorithm = protectedHeader.get(Header.algorithm) ?? unprotectedHeader.get(Header.algorithm)
  if (algorithm === Algorithm.EdDSA) return suite.ed25519
  return algorithm === Algorithm.ES256 ? suite.ecdsaP256Raw : undefined
}

function publicKey(key: Fields): Uint8Array | undefined {
  const coordinate = (name: string): Uint8Array =>
    optionalHex(key, `${name}_hex`) ?? Uint8Array.from(Buffer.from(textField(key, name), 'base64url'))
  if (key.crv === 'Ed25519') return coordinate('x')
  return key.crv === 'P-256' ? Uint8Array.of(4, ...coordinate('x'), ...coordinate('y')) : undefined
}
