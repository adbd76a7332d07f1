import { createHash } from 'node:crypto'
import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import {
  checkFingerprint,
  checkIntegrity,
  decodeStun,
  type StunMessage,
  stunAttribute,
  StunAttributeType as Type,
} from '#shared/wire/stun.ts'
import { decodeStunAddress } from '#shared/wire/stun-address.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, isFields, isFieldsArray, optionalHex, optionalText, textField } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'
import { judgeParser } from './corpus.ts'

/** RFC 5769 and RFC 8489 B.1: `{vectors: [{id, hex, class, method, transactionId, …what the attributes say}]}`. */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) &&
  isFieldsArray(contents.vectors) &&
  contents.vectors.some((vector) => typeof vector.hex === 'string' && 'transactionId' in vector)

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.vectors)) throw new BrokenFormat(`${path} has no vectors`)
  for (const [index, vector] of contents.vectors.entries())
    verdicts.settle(path, optionalText(vector, 'id', 'name') ?? index, () => underBoth((suite) => judgeOne(suite, vector)))
}

const textAttributes: Readonly<Record<string, number>> = {
  software: Type.Software,
  username: Type.Username,
  realm: Type.Realm,
  nonce: Type.Nonce,
}
const hexAttributes: Readonly<Record<string, number>> = {
  priority: 0x0024,
  iceControlled: 0x8029,
  iceControlling: 0x802a,
  userhash: Type.Userhash,
  userHash: Type.Userhash,
}

function judgeOne(suite: Suite, vector: Fields): string | undefined {
  const bytes = fromHex(textField(vector, 'hex'))
  const message = decodeStun(bytes)
  return (
    judgeParser(bytes) ??
    judgeHeader(vector, message) ??
    judgeAttributes(vector, message) ??
    judgeAddress(vector, message) ??
    judgeMacs(suite, vector, bytes, message)
  )
}

function judgeHeader(vector: Fields, message: StunMessage): string | undefined {
  const kind = optionalText(vector, 'class')
  if (kind !== undefined && message.class !== kind) return `the class is read as ${message.class}`
  const method = optionalText(vector, 'method')
  if (method === 'binding' && message.method !== 1) return `the method is read as ${message.method}`
  if (toHex(message.transactionId) !== textField(vector, 'transactionId').toLowerCase()) return 'the transaction id is another'
  return undefined
}

function judgeAttributes(vector: Fields, message: StunMessage): string | undefined {
  for (const [name, type] of Object.entries(textAttributes)) {
    const stated = optionalText(vector, name)
    const value = stunAttribute(message, type)
    // A vector may name a user whose message carries only the hash of the name.
    if (stated === undefined || (name === 'username' && value === undefined && stunAttribute(message, Type.Userhash))) continue
    if (value === undefined || new TextDecoder().decode(value) !== stated) return `${name} is read as ${value && toHex(value)}`
  }
  for (const [name, type] of Object.entries(hexAttributes)) {
    const stated = optionalText(vector, name)
    if (stated === undefined || !/^([0-9a-f]{2})+$/i.test(stated)) continue
    const value = stunAttribute(message, type)
    if (value === undefined || toHex(value) !== stated.toLowerCase()) return `${name} is read as ${value && toHex(value)}`
  }
  return undefined
}

function judgeAddress(vector: Fields, message: StunMessage): string | undefined {
  const stated = optionalText(vector, 'xorMappedAddress')
  if (stated === undefined) return undefined
  const value = stunAttribute(message, Type.XorMappedAddress)
  if (value === undefined) return 'there is no XOR-MAPPED-ADDRESS'
  const { address, port } = decodeStunAddress(value, message.transactionId)
  if (!equalPublic(parseAddress(address), parseAddress(stated))) return `the address is read as ${address}`
  return vector.xorMappedPort === undefined || port === vector.xorMappedPort ? undefined : `the port is read as ${port}`
}

function judgeMacs(suite: Suite, vector: Fields, bytes: Uint8Array, message: StunMessage): string | undefined {
  const fingerprint = checkFingerprint(bytes)
  if (vector.fingerprint !== undefined && (fingerprint === 'valid') !== vector.fingerprint)
    return `the fingerprint is ${fingerprint}`
  const keys = keysOf(suite, vector, message)
  if (keys.length === 0) return undefined
  for (const [type, hash] of [
    [Type.MessageIntegrity, 'sha1'],
    [Type.MessageIntegritySha256, 'sha256'],
  ] as const) {
    const verdicts = keys.map((key) => checkIntegrity(bytes, type, (...parts) => suite.hmac(hash, key, ...parts)))
    if (verdicts.includes('wrong') && !verdicts.includes('valid')) return `the integrity by ${hash} is wrong`
  }
  const hasIntegrity = message.attributes.some(
    ({ type }) => type === Type.MessageIntegrity || type === Type.MessageIntegritySha256,
  )
  return vector.messageIntegrity === true && !hasIntegrity ? 'there is no MESSAGE-INTEGRITY' : undefined
}

/** RFC 8489 §9.1.1, §9.2.2: the password, or a hash of user, realm and password (MD5 of old, SHA-256 with PASSWORD-ALGORITHM). */
function keysOf(suite: Suite, vector: Fields, message: StunMessage): Uint8Array[] {
  const password = optionalText(vector, 'password')
  const text = new TextEncoder()
  const key = optionalHex(vector, 'key')
  if (password === undefined) return key ? [key] : []
  const realm = stunAttribute(message, Type.Realm)
  if (realm === undefined) return [text.encode(password)]
  const user = optionalText(vector, 'username') ?? new TextDecoder().decode(stunAttribute(message, Type.Username))
  const credential = text.encode(`${user}:${new TextDecoder().decode(realm)}:${password}`)
  return [createHash('md5').update(credential).digest(), suite.hash('sha256', credential)]
}
