/**
 * mac1, mac2 and cookies (white paper §5.4.4, §5.4.7): what keeps a responder from spending a DH on strangers, and, under load, on
 * whoever cannot receive at the address that he claims.
 */
import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Instant } from '#shared/time/instant.ts'
import { COOKIE_REPLY_LENGTH, type CookieReply, encodeCookieReply } from '#shared/wire/wireguard-cookie.ts'
import type { Endpoint } from './association.ts'
import { CookieSecrets } from './cookie-secrets.ts'
import { LABEL_COOKIE, LABEL_MAC1 } from './wireguard-constants.ts'

/** Bytes. */
const MAC_LENGTH = 16
const NONCE_LENGTH = 24
const text = new TextEncoder()
const labelMac1 = text.encode(LABEL_MAC1)
const labelCookie = text.encode(LABEL_COOKIE)

/** Keys that a message to the owner of `publicKey` is authenticated with: anyone who knows the public key can make them. */
const mac1KeyOf = (suite: Suite, publicKey: Uint8Array): Uint8Array => suite.hash('blake2s', labelMac1, publicKey)
const cookieKeyOf = (suite: Suite, publicKey: Uint8Array): Uint8Array => suite.hash('blake2s', labelCookie, publicKey)

/** Fills the last 32 bytes of a handshake message to `peer`: mac1, and mac2 where a cookie of his is held. Returns mac1 in place. */
export function putMacs(suite: Suite, message: Uint8Array, peer: Uint8Array, cookie: Uint8Array | undefined): Uint8Array {
  const at1 = message.length - 2 * MAC_LENGTH
  const at2 = message.length - MAC_LENGTH
  message.set(suite.blake2s(MAC_LENGTH, mac1KeyOf(suite, peer), message.subarray(0, at1)), at1)
  if (cookie === undefined) message.fill(0, at2)
  else message.set(suite.blake2s(MAC_LENGTH, cookie, message.subarray(0, at2)), at2)
  return message.subarray(at1, at2)
}

/** The cookie in a reply to the message that bore `mac1`, or undefined: it must come from the owner of `peer`, about that message. */
export function openCookie(suite: Suite, peer: Uint8Array, mac1: Uint8Array, reply: CookieReply): Uint8Array | undefined {
  const cookie = new Uint8Array(MAC_LENGTH)
  const length = suite.xchacha20poly1305.openOnce(cookieKeyOf(suite, peer), reply.nonce, mac1, reply.cookie, cookie)
  return length < 0 ? undefined : cookie
}

export type Mac2 = 'valid' | 'absent' | 'wrong'

/** The responder's half: judges the MACs of messages to us, and answers with cookies. */
export class CookieJar {
  readonly #suite: Suite
  readonly #mac1Key: Uint8Array
  readonly #cookieKey: Uint8Array
  readonly #secrets: CookieSecrets

  constructor(suite: Suite, publicKey: Uint8Array) {
    this.#suite = suite
    this.#mac1Key = mac1KeyOf(suite, publicKey)
    this.#cookieKey = cookieKeyOf(suite, publicKey)
    this.#secrets = new CookieSecrets(suite)
  }

  /** Whether the sender knows our public key. No DH happens before this. */
  verifyMac1(message: Uint8Array): boolean {
    const at = message.length - 2 * MAC_LENGTH
    const mac = this.#suite.blake2s(MAC_LENGTH, this.#mac1Key, message.subarray(0, at))
    return equalConstantTime(mac, message.subarray(at, at + MAC_LENGTH))
  }

  /** Whether the sender has received, at this very address and port, a cookie of our secret or of the one before. */
  verifyMac2(message: Uint8Array, from: Endpoint, now: Instant): Mac2 {
    const at = message.length - MAC_LENGTH
    const mac2 = message.subarray(at)
    if (mac2.every((byte) => byte === 0)) return 'absent'
    const body = message.subarray(0, at)
    for (const secret of this.#secrets.at(now)) {
      const mac = this.#suite.blake2s(MAC_LENGTH, this.#cookieFor(secret, from), body)
      if (equalConstantTime(mac, mac2)) return 'valid'
    }
    return 'wrong'
  }

  /** A cookie reply (64 bytes, less than either message) to a handshake message with index `receiver` of its sender. */
  reply(message: Uint8Array, receiver: number, from: Endpoint, now: Instant): Uint8Array {
    const [secret] = this.#secrets.at(now)
    const at = message.length - 2 * MAC_LENGTH
    const nonce = this.#suite.random(NONCE_LENGTH)
    const cookie = new Uint8Array(2 * MAC_LENGTH)
    const mac1 = message.subarray(at, at + MAC_LENGTH)
    this.#suite.xchacha20poly1305.sealOnce(this.#cookieKey, nonce, mac1, this.#cookieFor(secret, from), cookie)
    const out = new Uint8Array(COOKIE_REPLY_LENGTH)
    encodeCookieReply({ receiver, nonce, cookie }, out)
    return out
  }

  #cookieFor(secret: Uint8Array, from: Endpoint): Uint8Array {
    return this.#suite.blake2s(MAC_LENGTH, secret, text.encode(`${from.address}|${from.port}`))
  }
}
