import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { IkeAlgorithms } from '#shared/ikev2/agreed-algorithms.ts'
import type { IkeKeys } from '#shared/ikev2/key-material.ts'
import { type Opened, SkEnvelope } from '#shared/ikev2/sk-envelope.ts'
import { encryptions, integrities, keyExchanges, named, prfs, refusalOfName } from '#shared/ikev2/transform.ts'
import { IKE_HEADER_LENGTH } from '#shared/wire/ike-header.ts'
import { decodeIkeMessage, type IkeHeaderFields } from '#shared/wire/ike-message.ts'
import { HeaderFlag } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { decodePayloads, encodePayloads } from '#shared/wire/ike-payloads.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import fc from '#test/lab/properties.ts'

const keyExchange = keyExchanges[0]!
const prf = prfs[0]!
const suites: readonly Suite[] = [nativeSuite, nobleSuite]

/** Every way in which an IKE SA may be protected. */
const protections: readonly IkeAlgorithms[] = encryptions
  .filter(({ mode }) => mode === 'aead' || mode === 'cbc')
  .flatMap((encryption) =>
    (encryption.icvBytes > 0 ? [undefined] : integrities).map((integrity) => ({ encryption, integrity, prf, keyExchange })),
  )
const titleOf = ({ encryption, integrity }: IkeAlgorithms): string =>
  integrity === undefined ? encryption.name : `${encryption.name}-${integrity.name}`

function keysFor({ encryption, integrity }: IkeAlgorithms): IkeKeys {
  const key = (length: number) => nativeSuite.random(length)
  const [e, a] = [encryption.keyBytes + encryption.saltBytes, integrity?.keyBytes ?? 0]
  return { d: key(32), ai: key(a), ar: key(a), ei: key(e), er: key(e), pi: key(32), pr: key(32) }
}

const header: IkeHeaderFields = {
  initiatorSpi: 0x1122334455667788n,
  responderSpi: 0x99aabbccddeeff00n,
  majorVersion: 2,
  minorVersion: 0,
  exchange: 35,
  flags: HeaderFlag.Initiator,
  messageId: 1,
}
const nonce = (length: number): IkePayload => ({ kind: 'nonce', nonce: nativeSuite.random(length) })
const cert = (length: number): IkePayload => ({ kind: 'cert', encoding: 4, data: nativeSuite.random(length) })

function openAll(envelope: SkEnvelope, datagrams: readonly Uint8Array[]): Opened[] {
  return datagrams.map((datagram) => {
    const opened = envelope.open(datagram, decodeIkeMessage(datagram).payloads)
    assert.ok(typeof opened === 'object', `refused: ${String(opened)}`)
    return opened
  })
}

for (const algorithms of protections) {
  const title = titleOf(algorithms)

  test(`${title}: what one end seals the other opens, with either provider, whatever the length`, () => {
    const keys = keysFor(algorithms)
    const [initiator, responder] = suites.map((suite, i) => new SkEnvelope(suite, algorithms, keys, i === 0)) as [
      SkEnvelope,
      SkEnvelope,
    ]
    for (let length = 0; length < 40; length++) {
      const payloads = length === 0 ? [] : [nonce(16 + length), cert(length)]
      const { first, bytes } = encodePayloads(payloads)
      for (const [from, to] of [
        [initiator, responder],
        [responder, initiator],
      ] as const) {
        const [datagram, ...more] = from.seal(header, payloads)
        assert.equal(more.length, 0)
        assert.deepEqual(openAll(to, [datagram!]), [{ first, bytes }])
        assert.equal(from.open(datagram!, decodeIkeMessage(datagram!).payloads), DropReason.Unauthentic, 'our own words')
      }
    }
  })

  test(`${title}: any changed bit of header, payload or ICV is refused, and any cut`, () => {
    const keys = keysFor(algorithms)
    const [initiator, responder] = [true, false].map((is) => new SkEnvelope(nativeSuite, algorithms, keys, is)) as [
      SkEnvelope,
      SkEnvelope,
    ]
    const [datagram] = initiator.seal(header, [nonce(20)])
    const { payloads } = decodeIkeMessage(datagram!)
    const body = datagram!.length - (payloads[0]!.kind === 'sk' ? payloads[0].body.length : 0)
    for (let bit = 0; bit < datagram!.length * 8; bit++) {
      const changed = Uint8Array.from(datagram!)
      changed[bit >> 3] = changed[bit >> 3]! ^ (1 << (bit & 7))
      const outer: IkePayload[] = [{ kind: 'sk', first: 40, body: changed.subarray(body) }]
      assert.equal(responder.open(changed, outer), DropReason.Unauthentic, `bit ${bit}`)
    }
    for (let length = body; length < datagram!.length; length++) {
      const cut = datagram!.subarray(0, length)
      assert.equal(responder.open(cut, [{ kind: 'sk', first: 40, body: cut.subarray(body) }]), DropReason.Unauthentic)
    }
  })

  test(`${title}: fragments fill their datagrams, name the first payload once, and cover number and total`, () => {
    const keys = keysFor(algorithms)
    const [initiator, responder] = [true, false].map((is) => new SkEnvelope(nativeSuite, algorithms, keys, is)) as [
      SkEnvelope,
      SkEnvelope,
    ]
    const payloads = [cert(4000), nonce(32)]
    const { first, bytes } = encodePayloads(payloads)
    for (const most of [576, 1228, 1280, 4300]) {
      const datagrams = initiator.seal(header, payloads, most)
      const total = datagrams.length
      assert.ok(total === 1 || datagrams.every(({ length }) => length <= most && length > 0))
      if (total > 1) for (const { length } of datagrams.slice(0, -1)) assert.ok(length > most - 16, `${length} of ${most}`)
      const opened = openAll(responder, datagrams)
      assert.deepEqual(
        opened.map((one) => one.first),
        datagrams.map((_, index) => (index === 0 ? first : 0)),
      )
      assert.equal(toHex(Uint8Array.from(opened.flatMap((one) => [...one.bytes]))), toHex(bytes))
      for (const [index, datagram] of datagrams.entries()) {
        const fragment = decodeIkeMessage(datagram).payloads[0]!
        if (total > 1) assert.ok(fragment.kind === 'skf' && fragment.number === index + 1 && fragment.total === total)
        const renumbered = Uint8Array.from(datagram)
        renumbered[IKE_HEADER_LENGTH + 5] = renumbered[IKE_HEADER_LENGTH + 5]! ^ 0x40
        if (total > 1) assert.equal(responder.open(renumbered, [fragment]), DropReason.Unauthentic)
      }
    }
    assert.equal(initiator.seal(header, payloads).length, 1, 'a peer that does not take fragments')
  })
}

test('P-13 after decryption too: whatever an authentic peer sends is decoded or refused by a WireError', () => {
  const algorithms = protections[0]!
  const keys = keysFor(algorithms)
  const [initiator, responder] = [true, false].map((is) => new SkEnvelope(nativeSuite, algorithms, keys, is)) as [
    SkEnvelope,
    SkEnvelope,
  ]
  const sane = encodePayloads([nonce(32), cert(60), { kind: 'vendor-id', id: nativeSuite.random(8) }])
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(fc.tuple(fc.nat(sane.bytes.length - 1), fc.nat(255)), { maxLength: 6 }).map((edits) => {
      const changed = Uint8Array.from(sane.bytes)
      for (const [at, value] of edits) changed[at] = value
      return changed
    }),
  )
  fc.assert(
    fc.property(fc.oneof(fc.constant(sane.first), fc.integer({ min: 0, max: 255 })), body, (first, inside) => {
      // A payload whose bytes are the whole inside: sealed as one, its header stripped by the first payload's own.
      const [datagram] = initiator.seal(header, [{ kind: 'unknown', type: first, critical: false, data: inside }])
      const opened = responder.open(datagram!, decodeIkeMessage(datagram!).payloads)
      assert.ok(typeof opened === 'object')
      try {
        decodePayloads(opened.first, opened.bytes)
        decodePayloads(first, opened.bytes.subarray(4))
      } catch (error) {
        assert.ok(error instanceof WireError, String(error))
      }
    }),
    { numRuns: 3000 },
  )
})

test('P-13 sk-envelope: no datagram of a stranger throws or opens', () => {
  for (const algorithms of protections) {
    const envelope = new SkEnvelope(nativeSuite, algorithms, keysFor(algorithms), false)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(60), fc.boolean(), (bytes, at, whole) => {
        const content = bytes.subarray(Math.min(at, bytes.length))
        const outer: IkePayload = whole
          ? { kind: 'sk', first: 33, body: content }
          : { kind: 'skf', first: 33, number: 1, total: 2, body: content }
        assert.equal(envelope.open(bytes, [outer]), DropReason.Unauthentic)
        assert.equal(envelope.open(bytes, []), DropReason.Malformed)
      }),
      { numRuns: 300 },
    )
  }
})

test('a pad length beyond the plaintext is malformed, any padding within it is taken (RFC 7296 §3.14)', () => {
  const algorithms = protections.find((one) => titleOf(one) === 'aes128-sha256')!
  const keys = keysFor(algorithms)
  const responder = new SkEnvelope(nativeSuite, algorithms, keys, false)
  for (const [padding, expected] of [
    [0, 31],
    [15, 16],
    [31, 0],
    [32, DropReason.Malformed],
    [255, DropReason.Malformed],
  ] as const) {
    const plain = new Uint8Array(32).fill(9)
    plain[31] = padding
    const datagram = new Uint8Array(32 + 16 + 32 + 16)
    nativeSuite.aesCbc.key(keys.ei).encrypt(datagram.subarray(32, 48), plain, datagram.subarray(48))
    datagram.set(nativeSuite.hmac('sha256', keys.ai, datagram.subarray(0, 80)).subarray(0, 16), 80)
    const opened = responder.open(datagram, [{ kind: 'sk', first: 0, body: datagram.subarray(32) }])
    assert.equal(typeof opened === 'object' ? opened.bytes.length : opened, expected)
  }
})

test('no IV is used twice, and a wiped envelope does nothing more', () => {
  for (const algorithms of protections) {
    const envelope = new SkEnvelope(nativeSuite, algorithms, keysFor(algorithms), true)
    const ivs = new Set<string>()
    for (let i = 0; i < 300; i++) {
      const [datagram] = envelope.seal(header, [])
      ivs.add(toHex(datagram!.subarray(32, 32 + algorithms.encryption.ivBytes)))
    }
    assert.equal(ivs.size, 300)
    envelope.wipe()
    assert.throws(() => envelope.seal(header, []), { name: 'CryptoError', code: 'key' })
  }
})

const vectors = process.env.ADIT_VECTORS ?? join(import.meta.dirname, '../../../../shared/vectors')
const captures = join(vectors, 'esp-ike/captures')
const skip = existsSync(captures) ? false : `no vectors in ${captures}`

interface Capture {
  readonly encr: string
  readonly integ: string
  readonly SK_ei: string
  readonly SK_er: string
  readonly SK_ai: string
  readonly SK_ar: string
  readonly frames: readonly {
    readonly ike: string
    readonly decrypted?: { readonly firstPayload: string | 0; readonly plaintext: string }
  }[]
}

/** Wireshark's words, as ours. */
const words: Readonly<Record<string, readonly string[]>> = {
  'AES-GCM-256 with 16 octet ICV [RFC5282]': ['aes256gcm16'],
  'AES-CBC-256 [RFC3602]': ['aes256'],
  'HMAC_SHA2_256_128 [RFC4868]': ['sha256'],
  'HMAC_SHA2_512_256 [RFC4868]': ['sha512'],
  'NONE [RFC4306]': [],
  '3DES [RFC2451]': ['3des'],
  'HMAC_SHA1_160 [RFC4595]': ['sha1_160'],
  'AES-CCM-128 with 12 octet ICV [RFC5282]': ['aes128ccm12'],
  'AES-CTR-192 [RFC5930]': ['aes192ctr'],
}

test('captured IKE SAs of other implementations open with their keys, or are of a cipher that is refused by name', {
  skip,
}, () => {
  let messages = 0
  const refused: string[] = []
  for (const name of readdirSync(captures).filter((file) => file.startsWith('ikev2-') && file.endsWith('.json'))) {
    const capture = JSON.parse(readFileSync(join(captures, name), 'utf8')) as Capture
    const spoken = [...words[capture.encr]!, ...words[capture.integ]!]
    const found = spoken.map(named)
    const encryption = found.find((one) => one?.type === 1)
    if (encryption === undefined || encryption.type !== 1) {
      assert.ok(
        spoken.some((word) => refusalOfName(word) !== undefined),
        name,
      )
      refused.push(spoken[0]!)
      continue
    }
    const integrity = integrities.find((one) => found.includes(one))
    const algorithms: IkeAlgorithms = { encryption, integrity, prf, keyExchange }
    const none = new Uint8Array(0)
    const [ei, er, ai, ar] = [capture.SK_ei, capture.SK_er, capture.SK_ai, capture.SK_ar].map(fromHex) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    const keys: IkeKeys = { d: none, ai, ar, ei, er, pi: none, pr: none }
    for (const suite of suites)
      for (const { ike, decrypted } of capture.frames) {
        if (decrypted === undefined) continue
        const datagram = fromHex(ike)
        const message = decodeIkeMessage(datagram)
        const fromInitiator = (message.header.flags & HeaderFlag.Initiator) !== 0
        const opened = new SkEnvelope(suite, algorithms, keys, !fromInitiator).open(datagram, message.payloads)
        assert.ok(typeof opened === 'object', name)
        assert.equal(toHex(opened.bytes), decrypted.plaintext)
        const payloads = decodePayloads(opened.first, opened.bytes)
        assert.equal(payloads.length === 0, decrypted.firstPayload === 0)
        assert.equal(toHex(encodePayloads(payloads).bytes), decrypted.plaintext, 'encoded anew')
        messages++
      }
  }
  assert.deepEqual(refused.sort(), ['3des', 'aes128ccm12', 'aes192ctr'])
  assert.equal(messages, 2 * 6)
})
