/**
 * The first message of a stranger (IKE_SA_INIT, IKE_SESSION_RESUME), looked at without decoding it: so many may come that every object
 * counts. What is found is a view of the message.
 */
import { wordAt } from '#shared/bytes/word.ts'
import { IKE_HEADER_LENGTH, IKE_MAJOR_VERSION } from '#shared/wire/ike-header.ts'
import { ExchangeType, HeaderFlag, NotifyType, PayloadType } from '#shared/wire/ike-numbers.ts'
import { NONCE_MAX_LENGTH, NONCE_MIN_LENGTH } from '#shared/wire/ike-payload/nonce.ts'
import { NOTIFY_HEADER_LENGTH } from '#shared/wire/ike-payload/notify.ts'
import { MAX_PAYLOADS, PAYLOAD_HEADER_LENGTH } from '#shared/wire/ike-payloads.ts'

/** The header is whole, of our version, and as long as the datagram. */
export function isIkeMessage(message: Uint8Array): boolean {
  if (message.length < IKE_HEADER_LENGTH || message[17]! >> 4 !== IKE_MAJOR_VERSION) return false
  return wordAt(message, 24) === message.length
}

/** Of an IKE message: whether it asks for a new IKE SA. */
export function isFirstMessage(message: Uint8Array): boolean {
  const exchange = message[18]!
  if (exchange !== ExchangeType.IkeSaInit && exchange !== ExchangeType.IkeSessionResume) return false
  if ((message[19]! & (HeaderFlag.Initiator | HeaderFlag.Response)) !== HeaderFlag.Initiator) return false
  return wordAt(message, 8) === 0 && wordAt(message, 12) === 0 && wordAt(message, 20) === 0
}

/** The initiator's SPI, 8 bytes. */
export const initiatorSpiOf = (message: Uint8Array): Uint8Array => message.subarray(0, 8)

/** The cookie of a first message: its first payload, if any (RFC 7296 §2.6). */
export function cookieOf(message: Uint8Array): Uint8Array | undefined {
  if (message[16] !== PayloadType.Notify) return undefined
  const body = bodyAt(message, IKE_HEADER_LENGTH)
  if (body === undefined || body.length < NOTIFY_HEADER_LENGTH || body[1] !== 0) return undefined
  return ((body[2]! << 8) | body[3]!) === NotifyType.Cookie ? body.subarray(NOTIFY_HEADER_LENGTH) : undefined
}

/** The nonce of a first message; undefined where the chain of payloads is broken, or has none of a right size. */
export function nonceOf(message: Uint8Array): Uint8Array | undefined {
  let next = message[16]!
  let at = IKE_HEADER_LENGTH
  for (let count = 0; next !== PayloadType.None && count < MAX_PAYLOADS; count++) {
    const body = bodyAt(message, at)
    if (body === undefined) return undefined
    if (next === PayloadType.Nonce) return body.length >= NONCE_MIN_LENGTH && body.length <= NONCE_MAX_LENGTH ? body : undefined
    next = message[at]!
    at += PAYLOAD_HEADER_LENGTH + body.length
  }
  return undefined
}

function bodyAt(message: Uint8Array, at: number): Uint8Array | undefined {
  if (at + PAYLOAD_HEADER_LENGTH > message.length) return undefined
  const length = (message[at + 2]! << 8) | message[at + 3]!
  if (length < PAYLOAD_HEADER_LENGTH || at + length > message.length) return undefined
  return message.subarray(at + PAYLOAD_HEADER_LENGTH, at + length)
}
