/** What a peer that holds the keys can say, or a stranger make of what it said: behind decryption stands the same distrust (P-13). */
import assert from 'node:assert/strict'
import test from 'node:test'
import { equalPublic } from '#shared/bytes/equal.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { ikeAlgorithms } from '#shared/ikev2/agreed-algorithms.ts'
import { FragmentBuffer, MAX_REASSEMBLED } from '#shared/ikev2/fragment-buffer.ts'
import type { IkeKeys } from '#shared/ikev2/key-material.ts'
import { parseProposal } from '#shared/ikev2/proposal.ts'
import { skCipher } from '#shared/ikev2/sk-cipher.ts'
import { SkEnvelope } from '#shared/ikev2/sk-envelope.ts'
import { instant } from '#shared/time/instant.ts'
import { espTransform } from '#shared/tunnel/esp-transform.ts'
import { checkTrailer, putEspHeader, writeTrailer } from '#shared/wire/esp.ts'
import { encodeIkeHeader, IKE_HEADER_LENGTH } from '#shared/wire/ike-header.ts'
import { decodeIkeMessage } from '#shared/wire/ike-message.ts'
import { Encryption, Integrity, PayloadType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { SkfPayload } from '#shared/wire/ike-payload/payload.ts'
import { decodePayloads, encodePayloads } from '#shared/wire/ike-payloads.ts'
import { sampleHeader, sampleMessages } from '#test/shared/wire/sample-messages.ts'
import { fuzz } from './fuzz.ts'
import { grammarChain } from './ike-grammar.ts'
import { pick, randomBytes, roll } from './mutate.ts'

/** A run seals or opens. */
const share = 0.3

const key = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i * 7)

const suites = ['aes256gcm16-prfsha256-x25519', 'chacha20poly1305-prfsha256-x25519', 'aes128-sha256-prfsha256-x25519'] as const

for (const name of suites) {
  const algorithms = ikeAlgorithms(parseProposal(name, ProtocolId.Ike))
  const encryption = key(algorithms.encryption.keyBytes + algorithms.encryption.saltBytes)
  const integrity = key(algorithms.integrity?.keyBytes ?? 0)
  const none = new Uint8Array(0)
  const keys: IkeKeys = { d: none, pi: none, pr: none, ei: encryption, er: encryption, ai: integrity, ar: integrity }
  const sender = skCipher(nativeSuite, algorithms, encryption, integrity)
  const receiver = new SkEnvelope(nativeSuite, algorithms, keys, false)

  /** An authentic message with this inside, padding and all. */
  const sealed = (first: number, inside: Uint8Array): Uint8Array => {
    const body = IKE_HEADER_LENGTH + 4
    const room = sender.alignBytes - 1 - ((inside.length + sender.alignBytes - 1) % sender.alignBytes)
    const message = new Uint8Array(body + sender.ivBytes + inside.length + room + sender.icvBytes)
    encodeIkeHeader({ ...sampleHeader, firstPayload: PayloadType.Sk, length: message.length }, message)
    message.set(
      [first, 0, (message.length - IKE_HEADER_LENGTH) >> 8, (message.length - IKE_HEADER_LENGTH) & 0xff],
      IKE_HEADER_LENGTH,
    )
    message.set(inside, body + sender.ivBytes)
    sender.seal(message, body)
    return message
  }

  test(`P-13 ${name}: whatever an authentic message contains is taken or refused by WireError`, () => {
    let opened = 0
    const taken = fuzz({
      name,
      share,
      seeds: sampleMessages.map(({ payloads }) => {
        const { first, bytes } = encodePayloads(payloads)
        return new Uint8Array([first, ...bytes, 0])
      }),
      grammar: (dice) => {
        const { first, bytes } = grammarChain(dice)
        const padding = randomBytes(dice, roll(dice, 20))
        const stated = pick(dice, [padding.length, padding.length, padding.length, roll(dice, 256)])
        return new Uint8Array([first, ...bytes.subarray(0, 60_000), ...padding, stated])
      },
      run: (input) => {
        const datagram = sealed(input[0] ?? 0, input.subarray(1))
        const inside = receiver.open(datagram, decodeIkeMessage(datagram).payloads)
        // A pad length beyond the content, or no content at all.
        if (typeof inside === 'number') return assert.ok(inside === DropReason.Malformed || input.length <= 1)
        opened++
        decodePayloads(inside.first, inside.bytes)
      },
    })
    assert.ok(taken > 0 && opened >= taken)
  })

  test(`P-13 ${name}: a message that a stranger changed is refused, and nothing is thrown`, () => {
    const good = sampleMessages.slice(0, 4).map(({ payloads }) => {
      const { first, bytes } = encodePayloads(payloads)
      return sealed(first, new Uint8Array([...bytes, 0]))
    })
    fuzz({
      name,
      share,
      seeds: good,
      run: (input) => {
        if (input.length >= IKE_HEADER_LENGTH) new DataView(input.buffer, input.byteOffset).setUint32(24, input.length)
        const { payloads } = decodeIkeMessage(input)
        const inside = receiver.open(input, payloads)
        if (typeof inside === 'number') return
        assert.ok(
          good.some((one) => equalPublic(one, input)),
          'a forgery was opened',
        )
      },
    })
  })
}

test('P-13 A-20 fragments in any order, number and time: bounded memory, and a whole is the sum of its pieces', () => {
  const buffer = new FragmentBuffer()
  let now = 0
  let whole = 0
  fuzz({
    name: 'fragment buffer',
    share,
    seeds: [new Uint8Array(8)],
    grammar: (dice) => randomBytes(dice, 8),
    run: (input) => {
      const [id = 0, number = 0, total = 0, flags = 0, size = 0, wait = 0] = input
      now += wait * 10
      const count = 1 + (total % 16)
      const fragment: SkfPayload = { kind: 'skf', first: 0, number: 1 + (number % count), total: count, body: new Uint8Array(1) }
      const at = { ...sampleHeader, messageId: id % 3, flags: flags & 0x28, firstPayload: PayloadType.Skf, length: 100 }
      const piece = { first: 0, bytes: new Uint8Array(size === 255 ? 60_000 : size) }
      const wanted = buffer.wants(at, fragment, instant(now))
      const result = buffer.add(at, fragment, piece, instant(now))
      if (!wanted) assert.equal(result, DropReason.Replayed)
      if (typeof result === 'object') {
        whole++
        assert.ok(result.bytes.length <= MAX_REASSEMBLED)
      }
      if (flags % 16 === 0) buffer.expire(instant(now))
      const deadline = buffer.deadline()
      assert.ok(deadline === undefined || deadline <= now + 5_000)
    },
  })
  assert.ok(whole > 0)
})

const espSuites = [
  ['AES-GCM', { encryption: Encryption.AesGcm16, keyLength: 256, integrity: 0 }, 36, 0],
  ['ChaCha20-Poly1305', { encryption: Encryption.ChaCha20Poly1305, keyLength: undefined, integrity: 0 }, 36, 0],
  ['AES-CBC with HMAC', { encryption: Encryption.AesCbc, keyLength: 128, integrity: Integrity.HmacSha256_128 }, 16, 32],
  ['AES-GMAC', { encryption: Encryption.NullAuthAesGmac, keyLength: 128, integrity: 0 }, 20, 0],
  ['NULL with HMAC', { encryption: Encryption.Null, keyLength: undefined, integrity: Integrity.HmacSha256_128 }, 0, 32],
] as const

for (const [name, algorithms, encryptionLength, integrityLength] of espSuites) {
  test(`P-13 ESP ${name}: any datagram is opened or refused, and nothing is thrown`, () => {
    const keys = { spi: 0x8000_0001, encryption: key(encryptionLength), integrity: key(integrityLength) }
    const transform = espTransform(nativeSuite, algorithms, keys, true)
    const good = [20, 60, 200].map((length) => {
      const packet = new Uint8Array(400)
      putEspHeader(packet, keys.spi, length)
      transform.putIv(packet, 1)
      const end = writeTrailer(packet, 8 + transform.ivLength + length, (16 - ((length + 2) % 16)) % 16, 4)
      return packet.slice(0, transform.protect(packet, end, 1))
    })
    const out = new Uint8Array(70_000)
    fuzz({
      name,
      share,
      seeds: good,
      run: (input) => {
        const length = transform.open(input, 1, out)
        if (length < 0) return assert.ok(length === DropReason.Malformed || length === DropReason.Unauthentic)
        assert.ok(
          good.some((one) => equalPublic(one, input)),
          'a forgery was opened',
        )
        assert.ok(checkTrailer(out, length) > 0)
      },
    })
  })
}
