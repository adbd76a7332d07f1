import { toBase64 } from '#shared/bytes/base64.ts'
import { concat } from '#shared/bytes/concat.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { parseChain } from '#shared/pki/chain.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { serverPath } from '#shared/pki/server-trust.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * What time it is, said by a broker to one that does not know (DESIGN D5), under the key of a server's certificate of the fleet. The
 * asker's nonce is in it, so that no old answer passes for a new one. What is signed (ECDSA P-256, SHA-256, DER):
 *
 *   "adit time v1" 00 | nonce (TIME_NONCE_LENGTH) | ms since 1970 (8, big-endian)
 *
 * It needs no protection on the way: whoever carries it can only delay it.
 */
export interface SignedTime {
  readonly time: WallTime
  readonly nonce: Uint8Array
  readonly signature: Uint8Array
  /** DER of the signer's certificate and what leads to the root, leaf first. */
  readonly chain: readonly Uint8Array[]
}

export const TIME_NONCE_LENGTH = 32
const label = Buffer.from('adit time v1\0', 'latin1')

export function signTime(
  time: WallTime,
  nonce: Uint8Array,
  signer: { key: KeyPair; chain: readonly Uint8Array[] },
  suite: Suite,
): SignedTime {
  return { time, nonce, chain: signer.chain, signature: suite.ecdsaP256.sign(signer.key, message(time, nonce)) }
}

/**
 * The time, where the answer is to `asked.nonce` and by a server under one of the roots, as far as one can tell who knows no more than
 * `floor` (see `serverPath`). A signer that says it is later than its own certificate lasts is as lost as the asker. Throws PkiError.
 */
export function judgeTime(
  answer: SignedTime,
  asked: { nonce: Uint8Array; roots: readonly Certificate[]; floor: WallTime },
  suite: Suite,
): WallTime {
  if (!equalPublic(answer.nonce, asked.nonce)) throw new PkiError('signature-invalid', 'a time that was said to somebody else')
  const { leaf, intermediates } = parseChain(answer.chain)
  serverPath(leaf, intermediates, asked.roots, asked.floor)
  const { publicKey, notBefore, notAfter } = leaf
  if (publicKey.kind !== 'p256') throw new PkiError('key-unsupported', 'a time under a key that is not of P-256')
  if (!suite.ecdsaP256.verify(publicKey.point, message(answer.time, answer.nonce), answer.signature))
    throw new PkiError('signature-invalid', 'a time under another signature')
  if (answer.time < notBefore || answer.time > notAfter)
    throw new PkiError('expired', 'a time at which its signer’s certificate does not hold')
  return answer.time
}

function message(time: WallTime, nonce: Uint8Array): Uint8Array {
  if (nonce.length !== TIME_NONCE_LENGTH) throw new PkiError('signature-invalid', 'a nonce of another length')
  const at = new DataView(new ArrayBuffer(8))
  at.setBigUint64(0, BigInt(Math.max(0, Math.floor(time))))
  return concat(label, nonce, new Uint8Array(at.buffer))
}

/** As JSON carries it: bytes in base64. */
export const signedTimeToJson = ({ time, nonce, signature, chain }: SignedTime) => ({
  time: Math.floor(time),
  nonce: toBase64(nonce),
  signature: toBase64(signature),
  chain: chain.map(toBase64),
})

/** Throws PkiError where the document is none. */
export function signedTimeFromJson(document: object): SignedTime {
  const { time, nonce, signature, chain } = document as Record<string, unknown>
  const isTime = typeof time === 'number' && Number.isSafeInteger(time) && time >= 0
  if (!isTime || !Array.isArray(chain)) throw new PkiError('signature-invalid', 'an answer that is no signed time')
  return { time: wallTime(time), nonce: bytes(nonce), signature: bytes(signature), chain: chain.map(bytes) }
}

const bytes = (text: unknown): Uint8Array => new Uint8Array(Buffer.from(typeof text === 'string' ? text : '', 'base64'))
