import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { FragmentBuffer, MAX_REASSEMBLED, REASSEMBLY_TIME } from '#shared/ikev2/fragment-buffer.ts'
import { after, instant } from '#shared/time/instant.ts'
import type { IkeHeader } from '#shared/wire/ike-header.ts'
import { decodeIkeMessage, encodeIkeMessage } from '#shared/wire/ike-message.ts'
import { HeaderFlag, PayloadType } from '#shared/wire/ike-numbers.ts'
import type { SkfPayload } from '#shared/wire/ike-payload/payload.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import fc from '#test/lab/properties.ts'

const now = instant(1000)

const header = (messageId: number, flags: number = HeaderFlag.Initiator): IkeHeader => ({
  initiatorSpi: 1n,
  responderSpi: 2n,
  firstPayload: PayloadType.Skf,
  majorVersion: 2,
  minorVersion: 0,
  exchange: 35,
  flags,
  messageId,
  length: 100,
})
const skf = (number: number, total: number): SkfPayload => ({
  kind: 'skf',
  first: number === 1 ? 35 : 0,
  number,
  total,
  body: new Uint8Array(1),
})
const piece = (number: number, length = 3) => ({ first: number === 1 ? 35 : 0, bytes: new Uint8Array(length).fill(number) })

test('pieces in any order, some of them twice, make the whole message once', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 16 }).chain((total) =>
        fc.tuple(
          fc.constant(total),
          fc.shuffledSubarray(
            Array.from({ length: total }, (_, i) => i + 1),
            { minLength: total },
          ),
          fc.array(fc.nat(total - 1), { maxLength: 5 }),
        ),
      ),
      ([total, order, again]) => {
        const buffer = new FragmentBuffer()
        for (const [index, number] of order.entries()) {
          const last = index === order.length - 1
          for (const earlier of again) {
            const repeated = order[earlier]!
            if (earlier >= index) continue
            assert.equal(buffer.wants(header(1), skf(repeated, total), now), false)
            assert.equal(buffer.add(header(1), skf(repeated, total), piece(repeated), now), DropReason.Replayed)
          }
          assert.ok(buffer.wants(header(1), skf(number, total), now))
          const whole = buffer.add(header(1), skf(number, total), piece(number), now)
          if (!last) assert.equal(whole, undefined)
          else {
            assert.ok(typeof whole === 'object')
            assert.equal(whole.first, 35)
            assert.deepEqual(
              [...whole.bytes],
              [...order].sort((a, b) => a - b).flatMap((n) => [n, n, n]),
            )
          }
        }
        assert.equal(buffer.deadline(), undefined)
      },
    ),
  )
})

test('A-20 a total of 65535, number 0 and a number beyond the total never reach the buffer', () => {
  for (const [number, total] of [
    [1, 65535],
    [1, 17],
    [0, 2],
    [3, 2],
    [0, 0],
  ] as const) {
    const datagram = encodeIkeMessage({ ...header(1) }, [skf(number, total)])
    assert.throws(() => decodeIkeMessage(datagram), WireError, `${number} of ${total}`)
  }
  assert.equal(decodeIkeMessage(encodeIkeMessage(header(1), [skf(16, 16)])).payloads.length, 1)
})

test('A-20 mixed totals: a smaller one is dropped, a larger one begins anew', () => {
  const buffer = new FragmentBuffer()
  assert.equal(buffer.add(header(1), skf(1, 3), piece(1), now), undefined)
  assert.equal(buffer.add(header(1), skf(2, 2), piece(2), now), DropReason.Replayed)
  assert.equal(buffer.add(header(1), skf(2, 3), piece(2), now), undefined)
  assert.equal(buffer.add(header(1), skf(3, 4), piece(3), now), undefined, 'anew')
  assert.equal(buffer.add(header(1), skf(3, 3), piece(3), now), DropReason.Replayed, 'of the old cut')
  for (const number of [1, 2]) assert.equal(buffer.add(header(1), skf(number, 4), piece(number), now), undefined)
  const whole = buffer.add(header(1), skf(4, 4), piece(4), now)
  assert.ok(typeof whole === 'object')
  assert.deepEqual([...whole.bytes], [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])
})

test('A-20 more than 64 KB is refused and forgotten', () => {
  const buffer = new FragmentBuffer()
  const length = MAX_REASSEMBLED / 4
  for (let number = 1; number <= 4; number++)
    assert.equal(buffer.add(header(1), skf(number, 6), piece(number, length), now), undefined)
  assert.equal(buffer.add(header(1), skf(5, 6), piece(5, 1), now), DropReason.Malformed)
  assert.equal(buffer.deadline(), undefined)
})

test('A-20 a message never completed is forgotten after 5 s, at the latest by the next fragment', () => {
  const buffer = new FragmentBuffer()
  const last = piece(1)
  buffer.add(header(1), skf(1, 2), last, now)
  assert.equal(buffer.deadline(), after(now, REASSEMBLY_TIME))
  const later = after(now, REASSEMBLY_TIME)
  assert.ok(buffer.wants(header(1), skf(1, 2), later))
  assert.equal(buffer.add(header(1), skf(2, 2), piece(2), later), undefined, 'the first piece is gone')
  assert.deepEqual([...last.bytes], [0, 0, 0], 'and wiped')
  buffer.expire(instant(later + REASSEMBLY_TIME - 1))
  assert.notEqual(buffer.deadline(), undefined)
  buffer.expire(after(later, REASSEMBLY_TIME))
  assert.equal(buffer.deadline(), undefined)
})

test('A-20 one request and one answer at a time: a later message takes the place of one that never came', () => {
  const buffer = new FragmentBuffer()
  const answer = HeaderFlag.Response
  assert.equal(buffer.add(header(7), skf(1, 2), piece(1), now), undefined)
  assert.equal(buffer.add(header(3, answer), skf(1, 2), piece(1), now), undefined)
  assert.ok(typeof buffer.add(header(3, answer), skf(2, 2), piece(2), now) === 'object', 'the answer was not disturbed')
  assert.equal(buffer.add(header(8), skf(2, 2), piece(2), now), undefined)
  assert.equal(buffer.add(header(7), skf(2, 2), piece(2), now), undefined, 'the piece of 7 was forgotten')
  buffer.wipe()
  assert.equal(buffer.deadline(), undefined)
})
