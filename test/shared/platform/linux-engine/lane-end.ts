import { createCipheriv, createDecipheriv } from 'node:crypto'
import { type Instant, instant } from '#shared/time/instant.ts'
import type { Association, SuiteName } from '#shared/tunnel/association.ts'
import type { LaneSession } from '#shared/tunnel/data-lane.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

/** The far end of a session that a lane holds: seals and opens by node:crypto, as the documents of the suites say. */
export class LaneEnd {
  readonly suite: SuiteName
  readonly association: Association
  readonly local: number
  readonly at: Endpoint
  readonly esn: boolean
  readonly expiresAt: Instant | undefined
  readonly #key: Uint8Array
  #next: number

  constructor(
    suite: SuiteName,
    id: number,
    { esn = false, expiresAt = instant(Number.POSITIVE_INFINITY) as Instant | undefined } = {},
  ) {
    this.suite = suite
    this.association = { id, suite } as Association
    this.local = suite === 'esp' ? 0xc000_0000 + id : 1_000 + id
    this.at = { address: `192.0.2.${id}`, port: 4_500 + id }
    this.esn = esn
    this.expiresAt = expiresAt
    this.#key = new Uint8Array(32).fill(id)
    this.#next = suite === 'esp' ? 1 : 0
  }

  get session(): LaneSession {
    const key = this.#key.slice()
    return {
      ...{ association: this.association, suite: this.suite, local: this.local, remote: this.local + 1, esn: this.esn },
      algorithm: this.suite === 'esp' ? 'aes-256-gcm' : 'chacha20-poly1305',
      ...{ sendKey: key, receiveKey: key, sendSalt: this.#salt, receiveSalt: this.#salt },
      ...{ firstNumber: this.suite === 'esp' ? 1 : 0, innerMtu: 1_280, expiresAt: this.expiresAt, otherTraffic: false },
    }
  }

  /** `inner` is padded to 16 bytes, or to 4 with ESP's trailer. */
  seal(inner: Uint8Array, number = this.#next++): Uint8Array {
    const { head, nonce, aad } = this.#around(this.local, number)
    const padded = this.suite === 'esp' ? withTrailer(inner) : new Uint8Array(Math.ceil(inner.length / 16) * 16)
    if (this.suite === 'noise') padded.set(inner)
    const cipher = createCipheriv(this.#name, this.#key, nonce, { authTagLength: 16 })
    cipher.setAAD(aad, { plaintextLength: padded.length })
    return Uint8Array.from(Buffer.concat([head, cipher.update(padded), cipher.final(), cipher.getAuthTag()]))
  }

  /** Of a datagram that the lane has sealed: its number, and the decrypted bytes with their padding. Throws where it is not authentic. */
  open(datagram: Uint8Array): { number: number; inner: Uint8Array } {
    const view = new DataView(datagram.buffer, datagram.byteOffset)
    const number = this.suite === 'esp' ? view.getUint32(4) : view.getUint32(8, true)
    const { head, nonce, aad } = this.#around(this.local + 1, number)
    if (Buffer.compare(head, datagram.subarray(0, 16)) !== 0) throw new Error('another header')
    const cipher = createDecipheriv(this.#name, this.#key, nonce, { authTagLength: 16 })
    cipher.setAuthTag(datagram.subarray(-16))
    cipher.setAAD(aad, { plaintextLength: datagram.length - 32 })
    return { number, inner: Uint8Array.from(Buffer.concat([cipher.update(datagram.subarray(16, -16)), cipher.final()])) }
  }

  get #salt(): Uint8Array {
    return this.suite === 'esp' ? Uint8Array.of(9, 8, 7, 6) : new Uint8Array(4)
  }

  get #name(): 'chacha20-poly1305' {
    return (this.suite === 'esp' ? 'aes-256-gcm' : 'chacha20-poly1305') as 'chacha20-poly1305'
  }

  #around(receiver: number, number: number) {
    const head = new Uint8Array(16)
    const view = new DataView(head.buffer)
    const nonce = new Uint8Array(12)
    nonce.set(this.#salt)
    if (this.suite === 'noise') {
      head[0] = 4
      view.setUint32(4, receiver, true)
      view.setUint32(8, number, true)
      new DataView(nonce.buffer).setUint32(4, number, true)
      return { head, nonce, aad: new Uint8Array(0) }
    }
    view.setUint32(0, receiver)
    view.setUint32(4, number)
    view.setUint32(12, number)
    new DataView(nonce.buffer).setUint32(8, number)
    const aad = Buffer.concat(this.esn ? [head.subarray(0, 4), new Uint8Array(4), head.subarray(4, 8)] : [head.subarray(0, 8)])
    return { head, nonce, aad: Uint8Array.from(aad) }
  }
}

function withTrailer(inner: Uint8Array): Uint8Array {
  const padLength = (4 - ((inner.length + 2) % 4)) % 4
  const padded = new Uint8Array(inner.length + padLength + 2)
  padded.set(inner)
  for (let i = 0; i < padLength; i++) padded[inner.length + i] = i + 1
  padded[padded.length - 2] = padLength
  padded[padded.length - 1] = inner[0]! >> 4 === 4 ? 4 : 41
  return padded
}
