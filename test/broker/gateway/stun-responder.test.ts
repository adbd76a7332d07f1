import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StunResponder } from '#broker/gateway/stun-responder.ts'
import { instant } from '#shared/time/instant.ts'
import { encodeBindingRequest, readBindingAnswer } from '#shared/wire/stun-binding.ts'

const id = Uint8Array.from({ length: 12 }, (_, i) => i * 3)
const four = { address: '192.0.2.7', port: 40_000 }
const six = { address: '2001:db8::7', port: 40_000 }

test('P-12 no answer is longer than its request, but for the bare IPv4 one', () => {
  const stun = new StunResponder()
  for (const from of [four, six]) {
    const request = encodeBindingRequest(id)
    const answer = stun.answer(request, from, instant(0))!.datagram
    assert.ok(answer.length <= request.length)
    assert.deepEqual(readBindingAnswer(answer, id), from)
  }
  const bare = encodeBindingRequest(id, { length: 20 })
  assert.equal(stun.answer(bare, four, instant(0))?.datagram.length, 32)
  assert.equal(stun.answer(bare, six, instant(0)), undefined)
})

test('P-12 an answer that also tells of the other address takes twice the room of a bare one', () => {
  const other = { address: '192.0.2.3', port: 4_501 }
  const seat = { other, origin: () => undefined }
  const bare = encodeBindingRequest(id, { length: 20 })
  const stun = new StunResponder()
  // RFC 5780 §4.3: whose first answer has no OTHER-ADDRESS is asked no further, and that question is the bare one of standard clients.
  assert.equal(stun.answer(bare, four, instant(0), seat)?.datagram.length, 44)
  for (let i = 0; i < 1_000; i++) stun.answer(bare, four, instant(0), seat)
  assert.equal(stun.answered, 100)
  assert.equal(stun.answer(bare, four, instant(0)), undefined, 'one bucket for both')
  assert.notEqual(stun.answer(encodeBindingRequest(id), four, instant(0), seat), undefined)
  assert.equal(stun.answer(bare, six, instant(9_000), seat), undefined)
})

test('P-12 bare requests share 200 answers a second, and do not starve padded ones', () => {
  const stun = new StunResponder()
  const bare = encodeBindingRequest(id, { length: 20 })
  for (let i = 0; i < 1_000; i++) stun.answer(bare, four, instant(0))
  assert.equal(stun.answered, 200)
  assert.notEqual(stun.answer(encodeBindingRequest(id), four, instant(0)), undefined)
  for (let i = 0; i < 1_000; i++) stun.answer(bare, four, instant(500))
  assert.equal(stun.answered, 301)
})
