/**
 * "I have no such security association" (RFC 7296 §1.5, §2.21.4): what an end that was restarted can tell those who still speak to its
 * former life. It is not protected, so nobody may believe it: whoever hears it asks the peer for a sign of life, and only when
 * that stays out for a new association.
 */
import type { Suite } from '#shared/crypto/suite.ts'
import { notify } from '#shared/ikev2/notify.ts'
import { espSpiBytes } from '#shared/ikev2/spi.ts'
import { IKE_HEADER_LENGTH, IKE_MAJOR_VERSION, NON_ESP_MARKER } from '#shared/wire/ike-header.ts'
import { encodeIkeMessage, type IkeHeaderFields } from '#shared/wire/ike-message.ts'
import { ExchangeType, HeaderFlag, NotifyType, PayloadType } from '#shared/wire/ike-numbers.ts'
import { NOTIFY_HEADER_LENGTH } from '#shared/wire/ike-payload/notify.ts'
import { PAYLOAD_HEADER_LENGTH } from '#shared/wire/ike-payloads.ts'

/** Bytes of the longest of them, marker included: a shorter ESP packet gets no answer, which would be the longer one (DESIGN D7). */
export const UNKNOWN_SA_LENGTH = NON_ESP_MARKER.length + IKE_HEADER_LENGTH + PAYLOAD_HEADER_LENGTH + NOTIFY_HEADER_LENGTH + 4

/** To whoever may have an association with us from before we started. */
export const announcedLoss = (suite: Suite): Uint8Array => encodeIkeMessage(oneWay(suite), [notify(NotifyType.InvalidIkeSpi)])

/** In answer to an ESP packet with an SPI that is none of ours. */
export const unknownChild = (suite: Suite, spi: number): Uint8Array =>
  encodeIkeMessage(oneWay(suite), [notify(NotifyType.InvalidSpi, espSpiBytes(spi))])

/** Whether an IKE message for none of our SAs, or an unprotected one for one of them, is such a word. */
export function isUnknownSa(message: Uint8Array): boolean {
  const end = IKE_HEADER_LENGTH + PAYLOAD_HEADER_LENGTH + NOTIFY_HEADER_LENGTH
  if (message.length < end || message.length > UNKNOWN_SA_LENGTH || message[16] !== PayloadType.Notify) return false
  const type = (message[end - 2]! << 8) | message[end - 1]!
  return type === NotifyType.InvalidIkeSpi || type === NotifyType.InvalidSpi
}

/** No exchange: a single message that wants no answer (RFC 7296 §1.5). Its SPI means nothing. */
function oneWay(suite: Suite): IkeHeaderFields {
  const random = suite.random(8)
  return {
    initiatorSpi: new DataView(random.buffer, random.byteOffset).getBigUint64(0) | 1n,
    responderSpi: 0n,
    majorVersion: IKE_MAJOR_VERSION,
    minorVersion: 0,
    exchange: ExchangeType.Informational,
    flags: HeaderFlag.Initiator,
    messageId: 0,
  }
}
