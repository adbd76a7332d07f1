import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { classify } from '#shared/wire/demux.ts'
import { checkFingerprint, decodeStun, encodeStun, lengthOfStun, StunAttributeType } from '#shared/wire/stun.ts'
import { decodeStunAddress } from '#shared/wire/stun-address.ts'
import { answerBinding } from '#shared/wire/stun-answer.ts'
import { readBindingAnswer } from '#shared/wire/stun-binding.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { isFields, isFieldsArray, optionalText } from '../fields.ts'
import type { Verdicts } from '../verdict.ts'

/**
 * Recorded messages and fuzzers' seeds: `{cases: [{name | id, hex | args: [{hex}]}]}`, `ip,message,…` lines with base64, or one raw
 * message. The parser must return, or throw its own error and nothing else.
 */
export const recognises = (path: string, contents: unknown): boolean =>
  contents instanceof Uint8Array ? path.endsWith('.stun') || isBrowserList(contents) : casesOf(contents) !== undefined

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  const cases = contents instanceof Uint8Array ? rawCases(path, contents) : (casesOf(contents) ?? [])
  for (const [id, bytes] of cases) verdicts.settle(path, id, () => judgeParser(bytes))
}

type Case = readonly [id: string, bytes: Uint8Array]

/** What every STUN message must survive here, sound or not; a sound one must also come back from the encoder as it was. */
export function judgeParser(bytes: Uint8Array): string | undefined {
  const from = { address: '192.0.2.1', port: 32853 }
  const answer = answerBinding(bytes, from)
  if (answer !== undefined && bytes.length > 20 && answer.length > bytes.length) return 'the answer is larger than the request'
  if (answer !== undefined && answer.length > 32 && bytes.length === 20) return 'the bare answer is larger than 32 bytes'
  readBindingAnswer(bytes, bytes.subarray(8, 20))
  classify(bytes)
  try {
    const message = decodeStun(bytes)
    checkFingerprint(bytes)
    const again = new Uint8Array(lengthOfStun(message))
    encodeStun(message, again)
    if (!equalPublic(again, withZeroPadding(bytes))) return `encoded again it became ${toHex(again)}`
    for (const { type, value } of message.attributes)
      if (type === StunAttributeType.XorMappedAddress) decodeStunAddress(value, message.transactionId)
  } catch (error) {
    if (!(error instanceof WireError)) return `the parser threw ${String(error)}`
  }
  return undefined
}

/** RFC 8489 §14: padding may be any bytes; ours are zeros. */
function withZeroPadding(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice()
  for (let at = 20; at + 4 <= out.length; ) {
    const end = at + 4 + ((out[at + 2]! << 8) | out[at + 3]!)
    at = (end + 3) & ~3
    out.fill(0, end, at)
  }
  return out
}

function casesOf(contents: unknown): Case[] | undefined {
  if (!isFields(contents) || !isFieldsArray(contents.cases)) return undefined
  const cases: Case[] = []
  for (const [index, fields] of contents.cases.entries()) {
    const id = optionalText(fields, 'id', 'name') ?? String(index)
    const inputs = typeof fields.hex === 'string' ? [fields] : isFieldsArray(fields.args) ? fields.args : []
    for (const { hex, value } of inputs) {
      if (typeof hex === 'string') cases.push([id, fromHex(hex)])
      else if (typeof value === 'number') cases.push([id, headerOfType(value)])
    }
  }
  return cases.length > 0 ? cases : undefined
}

/** A fuzzer's bare message type, as a message without attributes. */
function headerOfType(type: number): Uint8Array {
  const out = new Uint8Array(20)
  out.set([type >> 8, type, 0, 0, 0x21, 0x12, 0xa4, 0x42])
  return out
}

function rawCases(path: string, contents: Uint8Array): Case[] {
  if (path.endsWith('.stun')) return [[path, contents]]
  return linesOf(contents).flatMap((line, index): Case[] => {
    const message = line.split(',')[1]
    return message === undefined ? [] : [[`line ${index + 1}`, Uint8Array.from(Buffer.from(message, 'base64'))]]
  })
}

const isBrowserList = (contents: Uint8Array): boolean =>
  /^(#.*\n)*ip,message,/.test(Buffer.from(contents.subarray(0, 400)).toString())

const linesOf = (contents: Uint8Array): string[] =>
  Buffer.from(contents)
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('ip,message'))
