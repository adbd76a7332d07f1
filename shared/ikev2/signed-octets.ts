import { concat } from '#shared/bytes/concat.ts'
import type { IkeId } from '#shared/wire/ike-payload/payload.ts'

/** The negotiated pseudorandom function: HMAC of `data`, one part after another, under `key`. */
export type PrfFunction = (key: Uint8Array, ...data: readonly Uint8Array[]) => Uint8Array

/** What one end proves by its AUTH payload (RFC 7296 §2.15). */
export interface SignedParts {
  readonly prf: PrfFunction
  /** SK_pi for the initiator's AUTH, SK_pr for the responder's; with a PPK the ones that it was mixed into (RFC 8784 §3). */
  readonly skP: Uint8Array
  /**
   * The first message that this end sent, whole and as sent (the last one, where a cookie or another group was asked for), without
   * non-ESP marker: IKE_SA_INIT, or IKE_SESSION_RESUME (RFC 5723 §4.3.3).
   */
  readonly message: Uint8Array
  /** The other end's nonce, without payload header. */
  readonly nonce: Uint8Array
  /** This end's identity as its ID payload says it. */
  readonly id: IkeId
}

/** RealMessage | NonceData of the other | prf(SK_p, RestOfIDPayload). Fresh memory. */
export function signedOctets({ prf, skP, message, nonce, id }: SignedParts): Uint8Array {
  return concat(message, nonce, prf(skP, Uint8Array.of(id.type, 0, 0, 0), id.data))
}

const keyPad = Uint8Array.from(Buffer.from('Key Pad for IKEv2', 'ascii'))

/** prf(prf(shared secret, "Key Pad for IKEv2"), octets): what method 2 carries. */
export const sharedKeyMic = (prf: PrfFunction, secret: Uint8Array, octets: Uint8Array): Uint8Array =>
  prf(prf(secret, keyPad), octets)

/** The proof of a resumed session, in a payload of method 2 as well: prf(SK_p, octets) with SK_p of the new IKE SA (RFC 5723 §4.3.3). */
export const resumptionMic = (prf: PrfFunction, skP: Uint8Array, octets: Uint8Array): Uint8Array => prf(skP, octets)
