/**
 * The answer that asks for a cookie (RFC 7296 §2.6), written by hand: under a flood it is nearly all that is said, and must leave nothing
 * behind.
 *
 *   0                    8   16     17    18         19     20   24       28                                       36
 *   | initiator's SPI    | 0 | 41   | 2.0 | exchange | 0x20 | 0  | length | 0 0 length, 0 0 type: the notification | cookie
 */
import { IKE_HEADER_LENGTH, IKE_MAJOR_VERSION } from '#shared/wire/ike-header.ts'
import { HeaderFlag, NotifyType, PayloadType } from '#shared/wire/ike-numbers.ts'
import { NOTIFY_HEADER_LENGTH } from '#shared/wire/ike-payload/notify.ts'
import { PAYLOAD_HEADER_LENGTH } from '#shared/wire/ike-payloads.ts'
import { IKE_COOKIE_LENGTH } from './ike-cookie.ts'

const NOTIFY_LENGTH = PAYLOAD_HEADER_LENGTH + NOTIFY_HEADER_LENGTH + IKE_COOKIE_LENGTH
const COOKIE_AT = IKE_HEADER_LENGTH + PAYLOAD_HEADER_LENGTH + NOTIFY_HEADER_LENGTH

/** Bytes. */
export const COOKIE_DEMAND_LENGTH = IKE_HEADER_LENGTH + NOTIFY_LENGTH

/** Writes the demand in answer to a first message at `out[0..COOKIE_DEMAND_LENGTH]`. */
export function writeCookieDemand(message: Uint8Array, cookie: Uint8Array, out: Uint8Array): void {
  out.fill(0, 0, COOKIE_DEMAND_LENGTH)
  for (let i = 0; i < 8; i++) out[i] = message[i]!
  out[16] = PayloadType.Notify
  out[17] = IKE_MAJOR_VERSION << 4
  out[18] = message[18]!
  out[19] = HeaderFlag.Response
  out[27] = COOKIE_DEMAND_LENGTH
  out[31] = NOTIFY_LENGTH
  out[34] = NotifyType.Cookie >> 8
  out[35] = NotifyType.Cookie & 0xff
  out.set(cookie, COOKIE_AT)
}
