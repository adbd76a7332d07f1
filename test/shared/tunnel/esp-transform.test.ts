import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { CbcCipher, HmacTransform } from '#shared/tunnel/esp-hmac.ts'
import { type EspTransform, espTransform } from '#shared/tunnel/esp-transform.ts'
import { checkTrailer, espSequenceOf, padLengthFor, putEspHeader, writeTrailer } from '#shared/wire/esp.ts'
import { Encryption, Integrity } from '#shared/wire/ike-numbers.ts'

const vectors = join(process.env.ADIT_VECTORS ?? join(import.meta.dirname, '../../../../shared/vectors'), 'esp-ike')
const missing = existsSync(vectors) ? false : `${vectors} is not there`
const suites = [nativeSuite, nobleSuite]
const read = (name: string) => JSON.parse(readFileSync(join(vectors, name), 'utf8'))

/** Every algorithm, with the bytes of its keys. */
const algorithms = [
  ['AES-256-GCM-16', Encryption.AesGcm16, 256, 0, 36, 0],
  ['AES-128-GCM-16', Encryption.AesGcm16, 128, 0, 20, 0],
  ['ChaCha20-Poly1305', Encryption.ChaCha20Poly1305, undefined, 0, 36, 0],
  ['AES-256-GMAC', Encryption.NullAuthAesGmac, 256, 0, 36, 0],
  ['AES-128-GMAC', Encryption.NullAuthAesGmac, 128, 0, 20, 0],
  ['AES-256-CBC SHA-256', Encryption.AesCbc, 256, Integrity.HmacSha256_128, 32, 32],
  ['AES-128-CBC SHA-256', Encryption.AesCbc, 128, Integrity.HmacSha256_128, 16, 32],
  ['AES-128-CBC SHA-384', Encryption.AesCbc, 128, Integrity.HmacSha384_192, 16, 48],
  ['AES-256-CBC SHA-512', Encryption.AesCbc, 256, Integrity.HmacSha512_256, 32, 64],
  ['NULL SHA-256', Encryption.Null, undefined, Integrity.HmacSha256_128, 0, 32],
] as const

const secret = nobleSuite.random(64)

function make(
  suite: typeof nativeSuite,
  [, encryption, keyLength, integrity, bytes, macBytes]: (typeof algorithms)[number],
  esn: boolean,
) {
  const keys = { spi: 1, encryption: secret.slice(0, bytes), integrity: secret.slice(0, macBytes) }
  return espTransform(suite, { encryption, keyLength, integrity }, keys, esn)
}

/** A whole packet around a payload. */
function seal(transform: EspTransform, payload: Uint8Array, low: number, high: number): Uint8Array {
  const packet = new Uint8Array(payload.length + 80)
  putEspHeader(packet, 0x8123_4567, low)
  transform.putIv(packet, high)
  const at = 8 + transform.ivLength
  packet.set(payload, at)
  const end = writeTrailer(packet, at + payload.length, padLengthFor(payload.length, transform.blockLength), 4)
  return packet.slice(0, transform.protect(packet, end, high))
}

test('every algorithm: sealed by one provider, opened by the other, with and without ESN', () => {
  for (const algorithm of algorithms)
    for (const esn of [false, true])
      for (const length of [0, 1, 20, 63, 64, 1400]) {
        const payload = nativeSuite.random(length)
        const packet = seal(make(nativeSuite, algorithm, esn), payload, 7, 3)
        const out = new Uint8Array(packet.length)
        const opened = make(nobleSuite, algorithm, esn).open(packet, 3, out)
        assert.equal(checkTrailer(out, opened), length, algorithm[0])
        assert.deepEqual(out.slice(0, length), payload)
        const { ivLength, icvLength, blockLength } = make(nobleSuite, algorithm, esn)
        assert.equal((packet.length - 8 - ivLength - icvLength) % blockLength, 0)
      }
})

test('A-26 a flipped bit anywhere, a cut ICV, another high word of the sequence number: unauthentic', () => {
  for (const algorithm of algorithms) {
    const packet = seal(make(nativeSuite, algorithm, true), nativeSuite.random(40), 7, 3)
    const transform = make(nativeSuite, algorithm, true)
    const out = new Uint8Array(packet.length + 16)
    for (let at = 0; at < packet.length; at++) {
      const forged = packet.slice()
      forged[at]! ^= 1 << (at % 8)
      assert.equal(transform.open(forged, 3, out), DropReason.Unauthentic, `${algorithm[0]} byte ${at}`)
    }
    for (let length = 8; length < packet.length; length++) assert.ok(transform.open(packet.subarray(0, length), 3, out) < 0)
    assert.equal(transform.open(packet, 2, out), DropReason.Unauthentic, `${algorithm[0]} high word`)
    assert.ok(transform.open(packet, 3, out) > 0)
  }
})

test('counter IVs never repeat, CBC IVs cannot be foreseen', () => {
  for (const algorithm of algorithms) {
    const transform = make(nativeSuite, algorithm, true)
    if (transform.ivLength === 0) continue
    const ivs = new Set<string>()
    for (const high of [0, 1, 2 ** 32 - 1])
      for (let low = 0; low < 100; low++)
        ivs.add(toHex(seal(transform, new Uint8Array(1), low, high).subarray(8, 8 + transform.ivLength)))
    assert.equal(ivs.size, 300, algorithm[0])
  }
})

test('what no policy may choose makes no transform: 3DES, CBC without integrity, SHA-1, a key of a wrong length', () => {
  const keys = { spi: 1, encryption: secret.slice(0, 32), integrity: secret.slice(0, 20) }
  for (const [encryption, integrity] of [
    [Encryption.TripleDes, Integrity.HmacSha256_128],
    [Encryption.AesCbc, Integrity.None],
    [Encryption.AesCbc, Integrity.HmacSha1_96],
    [Encryption.AesCbc, Integrity.HmacSha256_128],
    [Encryption.Null, Integrity.None],
  ] as const)
    assert.throws(() => espTransform(nativeSuite, { encryption, integrity, keyLength: undefined }, keys, false), RangeError)
})

test('RFC 7634 appendix A: the packet byte for byte, both ways', { skip: missing }, () => {
  const { key, salt, iv, spi, seq, plaintextWithTrailer, esp } = read('rfc7634-esp.json')
  const encryption = fromHex(key + salt)
  const algorithm = { encryption: Encryption.ChaCha20Poly1305, keyLength: undefined, integrity: 0 }
  for (const suite of suites) {
    const transform = espTransform(suite, algorithm, { spi: 1, encryption, integrity: new Uint8Array(0) }, false)
    const packet = new Uint8Array(esp.length / 2)
    putEspHeader(packet, Number.parseInt(spi, 16), seq)
    packet.set(fromHex(iv), 8)
    packet.set(fromHex(plaintextWithTrailer), 16)
    assert.equal(transform.protect(packet, 16 + plaintextWithTrailer.length / 2, 0), packet.length)
    assert.equal(toHex(packet), esp)
    const out = new Uint8Array(packet.length)
    const opened = transform.open(packet, 0, out)
    assert.equal(toHex(out.slice(0, opened)), plaintextWithTrailer)
  }
})

test('packets that Linux made: GCM, GMAC and CBC open, and are made again byte for byte', { skip: missing }, () => {
  const names = { 'AES-GCM': Encryption.AesGcm16, 'AES-NULL-GMAC': Encryption.NullAuthAesGmac } as const
  let judged = 0
  for (const { crypt, key, esp, plaintextWithTrailer } of read('linux-esp.json').cases)
    for (const suite of suites) {
      const packet = fromHex(esp)
      const out = new Uint8Array(packet.length)
      let opened: number
      if (crypt in names) {
        const algorithm = { encryption: names[crypt as keyof typeof names], keyLength: 128, integrity: 0 }
        const transform = espTransform(
          suite,
          algorithm,
          { spi: 1, encryption: fromHex(key), integrity: new Uint8Array(0) },
          false,
        )
        opened = transform.open(packet, 0, out)
        const again = packet.slice()
        again.set(out.subarray(0, opened), 16)
        transform.protect(again, 16 + opened, 0)
        assert.equal(toHex(again), esp)
      } else if (crypt === 'AES-CBC') {
        const cipher = new CbcCipher(suite, fromHex(key))
        assert.ok(cipher.decrypt(packet, 24, packet.length, out))
        opened = packet.length - 24
      } else continue
      assert.equal(toHex(out.slice(0, opened)), plaintextWithTrailer, crypt)
      assert.ok(checkTrailer(out, opened) > 0)
      judged++
    }
  assert.equal(judged, 3 * suites.length)
})

test('a captured tunnel of AES-CBC and HMAC: every packet opens, and is made again byte for byte', { skip: missing }, () => {
  const { sas, frames } = read('captures/esp-bug-12671.json')
  for (const suite of suites)
    for (const { esp, plaintext } of frames) {
      const sa = sas.find(({ spi }: { spi: string }) => esp.startsWith(spi.slice(2)))
      const cipher = new CbcCipher(suite, fromHex(sa.encKey.slice(2)))
      // SHA-1 is never negotiated; the construction is the same.
      const sizes = { hash: 'sha1', keyLength: 20, icvLength: 12 } as const
      const transform = new HmacTransform(suite, cipher, sizes, fromHex(sa.integKey.slice(2)), false)
      const packet = fromHex(esp)
      const out = new Uint8Array(packet.length)
      const opened = transform.open(packet, 0, out)
      assert.ok(opened > 0, `frame with number ${espSequenceOf(packet)}`)
      assert.equal(toHex(out.slice(0, opened)), plaintext)
      const again = packet.slice()
      again.set(out.subarray(0, opened), 24)
      transform.protect(again, 24 + opened, 0)
      assert.equal(toHex(again), esp)
    }
})
