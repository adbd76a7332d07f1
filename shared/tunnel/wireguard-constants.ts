import { type Duration, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import type { NumberSpace } from './packet-number.ts'

/* ── The white paper's constants, §6.1. Times in ms, counts in messages. ── */

/** An initiator renews a session of this age when it next sends. */
export const REKEY_AFTER_TIME: Duration = seconds(120)
/** No session is used, either way, beyond this age. */
export const REJECT_AFTER_TIME: Duration = seconds(180)
/** An unanswered rekey initiation is repeated after this. */
export const REKEY_TIMEOUT: Duration = seconds(5)
/** Without new demand a handshake ends after this, unless the owner always wants the association. */
export const REKEY_ATTEMPT_TIME: Duration = seconds(90)
/** Who received data and has sent nothing since says so, by an empty packet, after this. */
export const KEEPALIVE_TIMEOUT: Duration = seconds(10)
/**
 * Counters begin with 0. REKEY-AFTER-MESSAGES is 2^60 of them; REJECT-AFTER-MESSAGES, 2^64 - 2^13 - 1, is neither sent nor accepted, nor
 * any above it.
 */
export const COUNTERS: NumberSpace = {
  first: 0,
  softHigh: 2 ** 28 - 1,
  softLow: 0xffff_ffff,
  lastHigh: 0xffff_ffff,
  lastLow: 2 ** 32 - 2 ** 13 - 2,
}
/** How long a cookie serves whoever received it, and how old its secret may grow at whoever made it. */
export const COOKIE_REFRESH_TIME: Duration = seconds(120)

/* ── Ours. ── */

/** Initiations taken from one peer: at most 50 in a second, whatever they cost to make. */
export const INITIATION_SPACING: Duration = milliseconds(20)
/** Nothing heard for KEEPALIVE + REKEY-TIMEOUT after we sent: a new handshake (§6.5). */
export const SILENCE_TIMEOUT: Duration = milliseconds(KEEPALIVE_TIMEOUT + REKEY_TIMEOUT)
/**
 * Who always wants the association asks by itself where an answer of its own has led to nothing for so long: a peer that wants it has
 * confirmed the session by then, or asked again (REKEY-TIMEOUT and its jitter).
 */
export const CONFIRM_TIMEOUT: Duration = seconds(6)
/** A session of this age is renewed on receipt already, since no keepalive may come in time to do it (§6.2). */
export const REKEY_ON_RECEIPT_TIME: Duration = milliseconds(REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT)
/** Up to this is added to REKEY-AFTER-TIME, so that devices that came up together do not renew together. */
export const REKEY_SPREAD: Duration = seconds(10)
/** Up to this is added to each retry (white paper §6.4). */
export const RETRY_JITTER: Duration = milliseconds(333)
/** First contact: the first retry, then twelve at max(1 s, 2 RTT), then every REKEY-TIMEOUT, and after long silence ever rarer. */
export const FIRST_RETRY: Duration = milliseconds(500)
export const EAGER_RETRY: Duration = seconds(1)
export const EAGER_RETRIES = 12
export const LONG_SILENCE: Duration = minutes(2)
export const RAREST_RETRY: Duration = seconds(60)
/** Initiations that may be answered at a time, and unconfirmed sessions that a responder keeps: with 1 s between them, RTT <= 4 s. */
export const OUTSTANDING = 4
/** Replay window, packets (RFC 6479). Also the 2^13 in REJECT-AFTER-MESSAGES. */
export const REPLAY_WINDOW = 8192
/** Packets and bytes kept for a peer while there is no session. The oldest go first. */
export const QUEUE_PACKETS = 32
export const QUEUE_BYTES = 64 * 1024
/** A roamed peer gets this many times the bytes that came from its new address, until a newer packet comes from there. */
export const AMPLIFICATION = 3
/** Bytes. Padding makes lengths a multiple of this (§5.4.6). */
export const PADDING = 16
/** Bytes: header and authenticator of a data message. */
export const SEAL_OVERHEAD = 32

/** §5.4. */
export const CONSTRUCTION = 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s'
export const IDENTIFIER = 'WireGuard v1 zx2c4 Jason@zx2c4.com'
export const LABEL_MAC1 = 'mac1----'
export const LABEL_COOKIE = 'cookie--'
