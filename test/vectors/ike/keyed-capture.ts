import { concat } from '#shared/bytes/concat.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type IkeAlgorithms, ikeAlgorithms } from '#shared/ikev2/agreed-algorithms.ts'
import type { IkeKeys } from '#shared/ikev2/key-material.ts'
import { SkEnvelope } from '#shared/ikev2/sk-envelope.ts'
import { nameOf, refusalOf } from '#shared/ikev2/transform.ts'
import { decodeIkeMessage } from '#shared/wire/ike-message.ts'
import { Encryption, ExchangeType, HeaderFlag } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, Proposal } from '#shared/wire/ike-payload/payload.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, hexField, isFields, isFieldsArray, numberField, optionalHex, textField } from '../fields.ts'
import { reasonName } from '../reason-name.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'
import { compareNames, isRefused, readAgain, readChainAgain } from './message.ts'

/**
 * Wireshark's captures with keys: `{SK_ei, SK_er, SK_ai, SK_ar, expectAuthData, frames: [{ike, exchange, flags, msgId, payloads, decrypted:
 * {plaintext, payloads}}]}`. Each message is read and written again; each encrypted one opened, read, and sealed again to the same bytes.
 */
export const recognises = (_path: string, contents: unknown): boolean => isKeyedCapture(contents)

const isKeyedCapture = (contents: unknown): contents is Fields & { frames: readonly Fields[] } =>
  isFields(contents) && typeof contents.SK_ei === 'string' && isFieldsArray(contents.frames)

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isKeyedCapture(contents)) throw new BrokenFormat(`${path} is no capture with keys`)
  const agreed = agreedIn(contents.frames)
  const algorithms = typeof agreed === 'string' ? undefined : agreed
  for (const frame of contents.frames) {
    const id = `frame ${numberField(frame, 'frame')}`
    verdicts.settle(path, id, () => judgeMessage(frame))
    if (!isFields(frame.decrypted)) continue
    const decrypted = frame.decrypted
    verdicts.settle(path, `${id} inside`, () => judgeInside(frame, decrypted))
    if (algorithms === undefined) verdicts.skip(`encrypted IKE message: ${String(agreed)}`)
    else
      verdicts.settle(path, `${id} opened`, () =>
        underBoth((suite) => judgeOpening(suite, algorithms, contents, frame, decrypted)),
      )
  }
  const proof = optionalHex(contents, 'expectAuthData')
  if (proof !== undefined) {
    verdicts.settle(path, 'AUTH', () =>
      contents.frames.some((frame) => hasProof(frame, proof)) ? undefined : 'no AUTH payload has the data',
    )
  }
}

const exchanges: Readonly<Record<string, number>> = {
  IKE_SA_INIT: ExchangeType.IkeSaInit,
  IKE_AUTH: ExchangeType.IkeAuth,
  CREATE_CHILD_SA: ExchangeType.CreateChildSa,
  INFORMATIONAL: ExchangeType.Informational,
}

function judgeMessage(frame: Fields): string | undefined {
  const message = readAgain(hexField(frame, 'ike'))
  if (typeof message === 'string') return message
  const { exchange, flags, messageId } = message.header
  if (exchange !== exchanges[textField(frame, 'exchange')]) return `its exchange is ${exchange}`
  if (flags !== Number.parseInt(textField(frame, 'flags'), 16)) return `its flags are ${flags}`
  if (messageId !== numberField(frame, 'msgId')) return `its message id is ${messageId}`
  return compareNames(message.payloads, frame.payloads)
}

function judgeInside(frame: Fields, decrypted: Fields): string | undefined {
  const payloads = insideOf(frame, decrypted)
  return typeof payloads === 'string' ? payloads : compareNames(payloads, decrypted.payloads)
}

function insideOf(frame: Fields, decrypted: Fields): readonly IkePayload[] | string {
  const outer = decodeIkeMessage(hexField(frame, 'ike')).payloads.at(-1)
  if (outer?.kind !== 'sk') return 'it is not encrypted'
  return readChainAgain(outer.first, hexField(decrypted, 'plaintext'))
}

function hasProof(frame: Fields, proof: Uint8Array): boolean {
  if (!isFields(frame.decrypted)) return false
  const payloads = insideOf(frame, frame.decrypted)
  return typeof payloads !== 'string' && payloads.some((payload) => payload.kind === 'auth' && equalPublic(payload.data, proof))
}

/** What the responder chose in IKE_SA_INIT, or why that is not ours. */
function agreedIn(frames: readonly Fields[]): IkeAlgorithms | string {
  const chosen = frames.map(chosenIn).find((proposal) => proposal !== undefined)
  if (chosen === undefined) return 'no answer to IKE_SA_INIT says what was agreed'
  for (const transform of chosen.transforms) {
    const refusal = refusalOf(transform)
    if (refusal !== undefined) return `${nameOf(transform)} is refused: ${refusal}`
  }
  return ikeAlgorithms(chosen)
}

function chosenIn(frame: Fields): Proposal | undefined {
  const datagram = hexField(frame, 'ike')
  // It fails as a message of its own.
  if (isRefused(datagram)) return undefined
  const { header, payloads } = decodeIkeMessage(datagram)
  if (header.exchange !== ExchangeType.IkeSaInit || (header.flags & HeaderFlag.Response) === 0) return undefined
  const sa = payloads.find(({ kind }) => kind === 'sa')
  return sa?.kind === 'sa' ? sa.proposals[0] : undefined
}

function judgeOpening(
  suite: Suite,
  algorithms: IkeAlgorithms,
  capture: Fields,
  frame: Fields,
  decrypted: Fields,
): string | undefined {
  const datagram = hexField(frame, 'ike')
  const { header, payloads } = decodeIkeMessage(datagram)
  const fromInitiator = (header.flags & HeaderFlag.Initiator) !== 0
  const keys = keysOf(capture)
  const opened = new SkEnvelope(suite, algorithms, keys, !fromInitiator).open(datagram, payloads)
  if (typeof opened === 'number') return `it was refused: ${reasonName(opened)}`
  const plaintext = hexField(decrypted, 'plaintext')
  if (!equalPublic(opened.bytes, plaintext)) return `it opened to ${toHex(opened.bytes)}`
  for (const at of [0, 17, 29, datagram.length - 1]) {
    const forged = datagram.slice()
    forged[at]! ^= 1
    if (typeof new SkEnvelope(suite, algorithms, keys, !fromInitiator).open(forged, payloads) !== 'number')
      return `it opens with byte ${at} changed`
  }
  const again = sealAgain(suite, algorithms, fromInitiator ? [keys.ei, keys.ai] : [keys.er, keys.ar], datagram, plaintext)
  return equalPublic(again, datagram) ? undefined : `sealed again it became ${toHex(again)}`
}

/** By the primitives, under the IV of the capture: our own envelope draws or counts another. */
function sealAgain(
  suite: Suite,
  { encryption, integrity }: IkeAlgorithms,
  [key, integrityKey]: readonly [Uint8Array, Uint8Array],
  datagram: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const body = 28 + 4
  const head = datagram.subarray(0, body)
  const iv = datagram.subarray(body, body + encryption.ivBytes)
  const icvBytes = integrity?.icvBytes ?? encryption.icvBytes
  const room = datagram.length - body - iv.length - icvBytes - plaintext.length
  // Padding of any content, which strongSwan fills with zeros or counts; only its length is ours to say.
  const padded = (padding: Uint8Array): Uint8Array => concat(plaintext, padding, Uint8Array.of(room - 1))
  const zeros = padded(new Uint8Array(room - 1))
  if (integrity === undefined) {
    const algorithm = encryption.id === Encryption.ChaCha20Poly1305 ? suite.chacha20poly1305 : suite.aesGcm
    const out = new Uint8Array(zeros.length + icvBytes)
    const nonce = concat(key.subarray(encryption.keyBytes), iv)
    algorithm.key(key.subarray(0, encryption.keyBytes)).seal(nonce, head, zeros, out)
    return concat(head, iv, out)
  }
  const cipher = suite.aesCbc.key(key)
  const ciphertext = datagram.subarray(body + iv.length, datagram.length - icvBytes)
  const clear = new Uint8Array(ciphertext.length)
  cipher.decrypt(iv, ciphertext, clear)
  const again = new Uint8Array(ciphertext.length)
  cipher.encrypt(iv, padded(clear.subarray(plaintext.length, -1)), again)
  const covered = concat(head, iv, again)
  return concat(covered, suite.hmac(integrity.hash, integrityKey, covered).subarray(0, icvBytes))
}

/** Those that a capture needs; the others are not in it. */
function keysOf(capture: Fields): IkeKeys {
  const none = new Uint8Array(0)
  return {
    d: none,
    pi: none,
    pr: none,
    ei: hexField(capture, 'SK_ei'),
    er: hexField(capture, 'SK_er'),
    ai: optionalHex(capture, 'SK_ai') ?? none,
    ar: optionalHex(capture, 'SK_ar') ?? none,
  }
}
