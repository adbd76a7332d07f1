import type { Instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'

/** RFC 8489 §5 and §14.2. Bytes. */
const headerLength = 20
const bindingRequest = 0x0001
const bindingSuccess = 0x0101
const magicCookie = 0x2112_a442
const xorMappedAddress = 0x0020
/** RFC 5780 §7.6: the one comprehension-required attribute that a request of ours carries, so that the answer is no longer than it. */
const padding = 0x0026
const comprehensionOptional = 0x8000
/** Binding errors and authentication would need answers larger than their requests; such requests get silence. */
const addressAttribute = { v4: 12, v6: 24 } as const

/** Answers a second, in all, to requests shorter than their answer (bare ones, 20 bytes for 32), and to the others. */
const bareRate = 200
const paddedRate = 20_000

/**
 * Answers STUN binding requests (RFC 8489) with the address that they came from, on the tunnel's own port. No answer is longer than its
 * request but the bare IPv4 one, which a global bucket bounds (P-12). The answer's buffer is used again for the next.
 */
export class StunResponder {
  answered = 0
  refused = 0
  readonly #bare = new TokenBucket(bareRate, bareRate)
  readonly #padded = new TokenBucket(paddedRate, paddedRate)
  readonly #out = new Uint8Array(headerLength + addressAttribute.v6)
  readonly #view = new DataView(this.#out.buffer)

  /** The answer, borrowed until the next call; undefined where silence is right. */
  answer(request: Uint8Array, from: Endpoint, now: Instant): Uint8Array | undefined {
    const answer = this.#compose(request, from, now)
    if (answer === undefined) this.refused++
    else this.answered++
    return answer
  }

  #compose(request: Uint8Array, from: Endpoint, now: Instant): Uint8Array | undefined {
    if (!isPlainBindingRequest(request)) return undefined
    const six = from.address.includes(':')
    const attribute = six ? addressAttribute.v6 : addressAttribute.v4
    const length = headerLength + attribute
    const grows = length > request.length
    if (grows && six) return undefined
    if (!(grows ? this.#bare : this.#padded).take(now)) return undefined
    const view = this.#view
    view.setUint16(0, bindingSuccess)
    view.setUint16(2, attribute)
    this.#out.set(request.subarray(4, headerLength), 4)
    view.setUint16(20, xorMappedAddress)
    view.setUint16(22, attribute - 4)
    this.#out[24] = 0
    this.#out[25] = six ? 2 : 1
    view.setUint16(26, from.port ^ (magicCookie >>> 16))
    // The address is masked with the cookie, and beyond 4 bytes with the transaction id (§14.2).
    for (const [i, byte] of parseAddress(from.address).entries()) this.#out[28 + i] = byte ^ this.#out[4 + i]!
    return this.#out.subarray(0, length)
  }
}

/** Well-formed, a request, and without an attribute that we would have to understand. */
function isPlainBindingRequest(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < headerLength || view.getUint16(0) !== bindingRequest || view.getUint32(4) !== magicCookie) return false
  if (headerLength + view.getUint16(2) !== bytes.length) return false
  let at = headerLength
  while (at < bytes.length) {
    if (at + 4 > bytes.length) return false
    const type = view.getUint16(at)
    if (type < comprehensionOptional && type !== padding) return false
    at += 4 + Math.ceil(view.getUint16(at + 2) / 4) * 4
  }
  return at === bytes.length
}
