import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import {
  checkFingerprint,
  decodeStun,
  encodeStun,
  lengthOfStun,
  putFingerprint,
  type StunAttribute,
  StunAttributeType,
  type StunClass,
  stunAttribute,
} from '#shared/wire/stun.ts'
import { decodeStunAddress, encodeStunAddress } from '#shared/wire/stun-address.ts'
import { answerBinding, replyToBinding } from '#shared/wire/stun-answer.ts'
import { encodeBindingRequest, readBindingAnswer, readBindingResponse, type StunChange } from '#shared/wire/stun-binding.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import fc from '#test/lab/properties.ts'

const id = fromHex('b7e7a701bc34d686fa87dfae')
const v4 = { address: '192.0.2.1', port: 32853 }
const v6 = { address: '2001:db8:1234:5678:11:2233:4455:6677', port: 32853 }

function request(attributes: StunAttribute[], kind: StunClass = 'request', method = 1): Uint8Array {
  const message = { class: kind, method, transactionId: id, attributes }
  const out = new Uint8Array(lengthOfStun(message))
  encodeStun(message, out)
  return out
}

test('class and method share the type field (RFC 8489 §5), every value of both', () => {
  for (const kind of ['request', 'indication', 'success', 'error'] as const)
    for (let method = 0; method < 0x1000; method++) {
      const message = decodeStun(request([], kind, method))
      assert.equal(message.class, kind)
      assert.equal(message.method, method)
    }
  assert.equal(toHex(request([], 'success')).slice(0, 4), '0101')
  assert.equal(toHex(request([], 'indication')).slice(0, 4), '0011')
})

test('XOR-MAPPED-ADDRESS of both families (RFC 5769 §2.2, §2.3)', () => {
  assert.equal(toHex(encodeStunAddress(v4, id)), '0001a147e112a643')
  assert.equal(toHex(encodeStunAddress(v6, id)), '0002a1470113a9faa5d3f179bc25f4b5bed2b9d9')
  for (const address of [v4, v6]) {
    assert.deepEqual(decodeStunAddress(encodeStunAddress(address, id), id), address)
    assert.deepEqual(decodeStunAddress(encodeStunAddress(address)), address)
  }
  assert.deepEqual(decodeStunAddress(encodeStunAddress({ address: '::ffff:192.0.2.1', port: 32853 }, id), id), v4)
  assert.throws(() => decodeStunAddress(fromHex('0003a147e112a643'), id), { code: 'stun-family' })
  assert.throws(() => decodeStunAddress(fromHex('0002a147e112a643'), id), { code: 'stun-address' })
})

test('any message comes back from decode(encode), and cut anywhere it is refused', () => {
  const attribute = fc.record({ type: fc.nat(0xffff), value: fc.uint8Array({ maxLength: 40 }) }, { noNullPrototype: true })
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 6 }), fc.nat(0xfff), (attributes, method) => {
      const bytes = request(attributes, 'error', method)
      assert.deepEqual(decodeStun(bytes).attributes, attributes)
      for (let cut = 0; cut < bytes.length; cut++) assert.throws(() => decodeStun(bytes.subarray(0, cut)), WireError)
      assert.throws(() => decodeStun(Uint8Array.of(...bytes, 0, 0, 0, 0)), WireError)
    }),
    { numRuns: 200, seed: 5 },
  )
})

test('too many attributes are refused', () => {
  const many = Array.from({ length: 65 }, () => ({ type: 0x8000, value: new Uint8Array(0) }))
  assert.throws(() => decodeStun(request(many)), { code: 'stun-attributes' })
  decodeStun(request(many.slice(1)))
})

test('FINGERPRINT must be last and right', () => {
  const zero = { type: StunAttributeType.Fingerprint, value: new Uint8Array(4) }
  const good = request([{ type: StunAttributeType.Software, value: Uint8Array.of(1) }, zero])
  assert.equal(checkFingerprint(good), 'wrong')
  putFingerprint(good)
  assert.equal(checkFingerprint(good), 'valid')
  assert.equal(checkFingerprint(request([zero, { type: StunAttributeType.Software, value: new Uint8Array(0) }])), 'wrong')
  assert.equal(checkFingerprint(request([])), 'absent')
})

test('P-12 a binding answer is never larger than its request, but for the bare one', () => {
  assert.equal(answerBinding(request([]), v4)?.length, 32)
  assert.equal(answerBinding(request([]), v6)?.length, 44)
  for (let padding = 0; padding < 40; padding++) {
    const bytes = request([{ type: StunAttributeType.Padding, value: new Uint8Array(padding) }])
    for (const from of [v4, v6]) {
      const answer = answerBinding(bytes, from)
      if (answer === undefined) assert.ok(bytes.length < (from === v4 ? 32 : 44))
      else {
        assert.ok(answer.length <= bytes.length)
        assert.deepEqual(readBindingAnswer(answer, id), from)
      }
    }
  }
})

test('our own question is answered whatever the family, and only its own answer is read', () => {
  const question = encodeBindingRequest(id)
  assert.equal(question.length, 44)
  for (const from of [v4, v6]) {
    const answer = answerBinding(question, from)!
    assert.deepEqual(readBindingAnswer(answer, id), from)
    assert.equal(readBindingAnswer(answer, nativeSuite.random(12)), undefined)
    assert.equal(answerBinding(answer, from), undefined, 'answers are not answered')
  }
  assert.equal(encodeBindingRequest(id, { length: 20 }).length, 20)
  assert.deepEqual(readBindingAnswer(answerBinding(question, { address: 'fe80::1%eth0', port: 7 })!, id), {
    address: 'fe80::1',
    port: 7,
  })
})

test('an unknown comprehension-required attribute gets 420 and its name; a comprehension-optional one is passed over', () => {
  const room = { type: StunAttributeType.Padding, value: new Uint8Array(30) }
  const answer = decodeStun(
    answerBinding(request([{ type: 0x0003, value: new Uint8Array(4) }, { type: 0x0077, value: new Uint8Array(0) }, room]), v4)!,
  )
  assert.equal(answer.class, 'error')
  assert.equal(toHex(stunAttribute(answer, StunAttributeType.ErrorCode)!), '00000414')
  assert.equal(toHex(stunAttribute(answer, StunAttributeType.UnknownAttributes)!), '00030077')
  assert.equal(decodeStun(answerBinding(request([{ type: 0x8077, value: new Uint8Array(8) }]), v4)!).class, 'success')
  assert.equal(answerBinding(request([{ type: 0x0077, value: new Uint8Array(0) }]), v4), undefined, 'no room for the refusal')
})

test('a fingerprinted question gets a fingerprinted answer where there is room; a wrong one silence', () => {
  const bytes = request([
    { type: StunAttributeType.Padding, value: new Uint8Array(20) },
    { type: StunAttributeType.Fingerprint, value: new Uint8Array(4) },
  ])
  assert.equal(answerBinding(bytes, v4), undefined)
  putFingerprint(bytes)
  assert.equal(checkFingerprint(answerBinding(bytes, v4)!), 'valid')
})

test('indications, other methods and other bytes get silence, and nothing ever throws (fuzz)', () => {
  assert.equal(answerBinding(request([], 'indication'), v4), undefined)
  assert.equal(answerBinding(request([], 'request', 3), v4), undefined)
  const sample = request([{ type: StunAttributeType.Padding, value: new Uint8Array(20) }])
  const mutated = fc.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { maxLength: 5 }).map((flips) => {
    const bytes = sample.slice()
    for (const [at, byte] of flips) bytes[at] = byte
    return bytes
  })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 120 })), (bytes) => {
      const answer = answerBinding(bytes, v6)
      assert.ok(answer === undefined || bytes.length === 20 || answer.length <= bytes.length)
      readBindingAnswer(bytes, id)
    }),
    { numRuns: 20_000, seed: 6 },
  )
})

test('RESPONSE-PORT: the answer goes to that port of the sender; never larger than the question; with PADDING it is refused', () => {
  for (const from of [v4, v6]) {
    const question = encodeBindingRequest(id, { responsePort: 40_000 })
    assert.equal(question.length, 44)
    const reply = replyToBinding(question, from)!
    assert.deepEqual(reply.to, { address: from.address, port: 40_000 })
    assert.ok(reply.datagram.length <= question.length)
    assert.deepEqual(readBindingAnswer(reply.datagram, id), from, 'it still names where the question came from')
  }
  const port = { type: StunAttributeType.ResponsePort, value: Uint8Array.of(1, 0, 0, 0) }
  assert.equal(
    replyToBinding(request([port, { type: 0xfe5c, value: new Uint8Array(0) }]), v4)?.to.port,
    256,
    'four bytes, as coturn sends',
  )
  const both = replyToBinding(request([port, { type: StunAttributeType.Padding, value: new Uint8Array(40) }]), v4)!
  assert.deepEqual(readBindingResponse(both.datagram, id), { refused: 400 })
  assert.deepEqual(both.to, v4)
  // What a stock client sends.
  assert.equal(
    replyToBinding(encodeBindingRequest(id, { responsePort: 7, length: 28 }), v4)!.datagram.length,
    20,
    'no room for more',
  )
  const nowhere = replyToBinding(encodeBindingRequest(id, { responsePort: 0 }), v4)!
  assert.deepEqual(readBindingResponse(nowhere.datagram, id), { refused: 400 })
})

test('CHANGE-REQUEST: answered from where the seat can, 420 where it cannot; OTHER-ADDRESS only where there is room', () => {
  const other = { address: '198.51.100.3', port: 3479 }
  const origin = { address: '198.51.100.2', port: 4500 }
  const seat = {
    other,
    origin: (change: StunChange) => (change.address ? undefined : { ...origin, port: change.port ? 3479 : 4500 }),
  }
  const change = { address: false, port: true }
  const answered = replyToBinding(encodeBindingRequest(id, { change, length: 92 }), v4, seat)!
  assert.deepEqual(answered.change, change)
  assert.deepEqual(readBindingResponse(answered.datagram, id), { mapped: v4, other, origin: { ...origin, port: 3479 } })
  const lone = replyToBinding(encodeBindingRequest(id, { change: { address: true, port: false } }), v4, seat)!
  assert.deepEqual(readBindingResponse(lone.datagram, id), { refused: 420 })
  assert.deepEqual(lone.change, { address: false, port: false })
  const seatless = replyToBinding(encodeBindingRequest(id, { change }), v4)!
  assert.deepEqual(readBindingResponse(seatless.datagram, id), { refused: 420 })

  assert.equal(replyToBinding(encodeBindingRequest(id), v4, seat)!.datagram.length, 32, 'keepalives cost what they did')
  assert.equal(replyToBinding(request([]), v4, seat)!.datagram.length, 44, 'the bare one, under the bucket')
  // What a stock client sends: no room for an address, yet that the answer came says that the filter let it in.
  const terse = encodeBindingRequest(id, { change, length: 28 })
  assert.equal(terse.length, 28)
  assert.equal(replyToBinding(terse, v4, seat)!.datagram.length, 20)
})

test('P-12 no wish makes an answer larger than its question', () => {
  const seat = { other: { address: '2001:db8::3', port: 1 }, origin: () => ({ address: '2001:db8::2', port: 2 }) }
  for (let length = 24; length <= 1_600; length += 4) {
    for (const from of [v4, v6]) {
      for (const change of [undefined, { address: true, port: true }]) {
        for (const responsePort of [undefined, 9]) {
          const question = encodeBindingRequest(id, { length, change, responsePort })
          const reply = replyToBinding(question, from, seat)
          assert.ok(reply === undefined || reply.datagram.length <= Math.min(question.length, 1_232), `${length}`)
        }
      }
    }
  }
  const long = decodeStun(replyToBinding(encodeBindingRequest(id, { length: 1_500 }), v6, seat)!.datagram)
  assert.ok(stunAttribute(long, StunAttributeType.Padding)!.length > 1_000, 'long PADDING is answered by PADDING')
})
