import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { instant } from '#shared/time/instant.ts'
import { Session } from '#shared/tunnel/session.ts'
import { counterHighOf, counterLowOf, counterOf, encodeData, lengthOfData, receiverOf } from '#shared/wire/wireguard-data.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, isFields, optionalText } from '../fields.ts'
import type { Verdicts } from '../verdict.ts'

/**
 * Recorded data messages with the keys that open them, wherever the file keeps those: objects that hold a datagram (any text in hex
 * that begins with type 4) or its parts (`counter` and `ciphertext`), and perhaps its `plaintext`; any other text of 64 hex digits is
 * tried as a key, the ones in the same object first.
 */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) && !isWycheproof(contents) && keysIn(contents).length > 0 && dataFrames(contents).length > 0

/** Public keys that happen to begin with 04 00 00 00 look like data messages. */
const isWycheproof = (contents: Fields): boolean => Array.isArray(contents.testGroups)

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  const keys = keysIn(contents)
  for (const [index, frame] of dataFrames(contents).entries())
    verdicts.settle(path, `data ${index}`, () => judgeFrame(frame, [...keysIn(frame), ...keys]))
}

/** Opens a data message with one of the keys, compares what it says, and seals it again to the same bytes. */
export function judgeFrame(frame: Fields, keys: readonly string[]): string | undefined {
  return underBoth((suite) => {
    const datagram = datagramOf(frame)!
    if (frame.counter !== undefined && counterOf(datagram) !== BigInt(String(frame.counter)))
      return `the counter is read as ${counterOf(datagram)}`
    const out = new Uint8Array(datagram.length)
    for (const hex of new Set(keys)) {
      const session = sessionOf(suite, fromHex(hex), receiverOf(datagram))
      const length = session.open(datagram, out, instant(0))
      if (length < 0) continue
      const plaintext = optionalText(frame, 'plaintext', 'plain', 'payload', 'decrypted')?.toLowerCase()
      if (plaintext !== undefined && toHex(out.subarray(0, length)) !== plaintext)
        return `it opened to ${toHex(out.subarray(0, length))}`
      const again = new Uint8Array(datagram.length)
      session.skipTo(counterHighOf(datagram), counterLowOf(datagram))
      session.seal(out.subarray(0, length), length, length, again)
      return equalPublic(again, datagram) ? undefined : `sealed again it became ${toHex(again)}`
    }
    return 'no key opens it'
  })
}

/** A session with one key for both ways. */
const sessionOf = (suite: Suite, key: Uint8Array, index: number): Session => {
  const start = { local: index, remote: index, initiator: true, sendKey: key, receiveKey: key }
  return new Session(suite, undefined, { ...start, now: instant(0), begunAt: instant(0), rekeyAt: instant(1) })
}

const isPlain = (name: string): boolean => /plain|payload|decrypted/.test(name)

function datagramOf(fields: Fields): Uint8Array | undefined {
  for (const [name, text] of Object.entries(fields))
    if (typeof text === 'string' && !isPlain(name) && /^04000000([0-9a-f]{2}){28,}$/i.test(text)) return fromHex(text)
  const sealed = optionalText(fields, 'ciphertext', 'encrypted', 'sealed')
  if (sealed === undefined || fields.counter === undefined || sealed.length < 32) return undefined
  const receiver = Number(fields.receiver ?? 0)
  const message = { receiver, counter: BigInt(String(fields.counter)), sealed: fromHex(sealed) }
  const out = new Uint8Array(lengthOfData(message))
  encodeData(message, out)
  return out
}

/** Every object, at any depth, that holds a data message. */
export function dataFrames(value: unknown): Fields[] {
  if (Array.isArray(value)) return value.flatMap(dataFrames)
  if (!isFields(value)) return []
  return datagramOf(value) === undefined ? Object.values(value).flatMap(dataFrames) : [value]
}

/** Every text of 32 bytes in hex, at any depth, but not the packets themselves. */
function keysIn(value: unknown): string[] {
  if (typeof value === 'string') return /^[0-9a-f]{64}$/i.test(value) ? [value.toLowerCase()] : []
  if (Array.isArray(value)) return value.flatMap((item) => (isFields(item) && datagramOf(item) ? [] : keysIn(item)))
  if (!isFields(value)) return []
  return Object.entries(value).flatMap(([name, item]) => (isPlain(name) ? [] : keysIn(item)))
}
