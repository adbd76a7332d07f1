import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { checkTrailer, EspNextHeader, espSequenceOf } from '#shared/wire/esp.ts'
import { espPair, opened, sealed } from './esp-pair.ts'
import { seeded } from './virtual-link.ts'

const payload = Uint8Array.from({ length: 60 }, (_, i) => i)

test('A-26 the first number is 1; number 0 is never taken, nor any number twice', () => {
  for (const esn of [true, false]) {
    const { a, b } = espPair({ esn })
    const first = sealed(a, payload)
    assert.equal(espSequenceOf(first), 1)
    const zero = first.slice()
    zero.fill(0, 4, 8)
    assert.equal(opened(b, zero), DropReason.Replayed)
    assert.ok(opened(b, first) > 0)
    assert.equal(opened(b, first), DropReason.Replayed)
  }
})

test('P-01 loss, reordering and duplicates up to the window: each packet once, and none too old', () => {
  const dice = seeded(7)
  for (const esn of [true, false]) {
    const { a, b } = espPair({ esn })
    const packets = Array.from({ length: 9_000 }, () => sealed(a, payload))
    const newest = packets.pop()!
    assert.ok(opened(b, newest) > 0)
    assert.ok(b.newest)
    // The window ends 8192 behind the newest number, 9000.
    for (const [number, datagram] of packets.entries()) {
      const verdict = opened(b, datagram)
      // With ESN a number so old is read as one to come (appendix A2.2), which the ICV disproves.
      if (number + 1 < 9_000 - 8_192) assert.equal(verdict, esn ? DropReason.Unauthentic : DropReason.Replayed)
      else assert.ok(verdict > 0, `number ${number + 1}`)
    }
    for (let i = 0; i < 2_000; i++) assert.ok(opened(b, packets[Math.floor(dice() * packets.length)]!) < 0)
    assert.ok(!b.newest)
  }
})

test('ESN: the numbers pass 2^32 on both ends, out of order too, and the ICV covers the word that is not sent', () => {
  const { a, b } = espPair({ esn: true })
  assert.ok(opened(b, sealed(a, payload)) > 0)
  a.skipTo(0, 2 ** 31)
  assert.ok(opened(b, sealed(a, payload)) > 0, 'a jump below 2^32 is followed')
  a.skipTo(0, 2 ** 32 - 3)
  const packets = Array.from({ length: 6 }, () => sealed(a, payload))
  assert.deepEqual(packets.map(espSequenceOf), [2 ** 32 - 2, 2 ** 32 - 1, 0, 1, 2, 3])
  for (const at of [4, 0, 5, 2, 3, 1]) assert.ok(opened(b, packets[at]!) > 0, `packet ${at}`)
  for (const datagram of packets) assert.equal(opened(b, datagram), DropReason.Replayed)
})

test('A-26 ESN: a jump of 2^32 and more cannot be followed, and takes nothing', () => {
  const { a, b } = espPair({ esn: true })
  const early = sealed(a, payload)
  assert.ok(opened(b, early) > 0)
  a.skipTo(2, 500)
  assert.equal(opened(b, sealed(a, payload)), DropReason.Unauthentic)
  assert.equal(opened(b, early), DropReason.Replayed)
})

test('A-26 a peer without ESN does not wrap: its numbers end at 2^32 - 1', () => {
  const { a, b } = espPair({ esn: false })
  a.skipTo(0, 2 ** 32 - 2)
  assert.ok(a.canSend)
  const last = sealed(a, payload)
  assert.equal(espSequenceOf(last), 2 ** 32 - 1)
  assert.ok(opened(b, last) > 0)
  assert.ok(!a.canSend)
  assert.equal(a.seal(payload, 60, 60, EspNextHeader.Ipv4, new Uint8Array(200)), DropReason.SessionExpired)
  assert.ok(opened(a, sealed(b, payload)) > 0, 'it still receives')
})

test('A-25 numbers are refused at 2^64 - 2^40, a renewal is asked for long before, and they never go back', () => {
  const long = espPair({ esn: true }).a
  assert.ok(!long.isDueForRekey)
  long.skipTo(2 ** 28, 0)
  assert.ok(long.isDueForRekey)
  long.skipTo(2 ** 32 - 2 ** 8 - 1, 2 ** 32 - 2)
  sealed(long, payload)
  assert.ok(long.canSend)
  sealed(long, payload)
  assert.ok(!long.canSend)
  assert.equal(long.seal(payload, 60, 60, EspNextHeader.Ipv4, new Uint8Array(200)), DropReason.SessionExpired)
  assert.throws(() => long.skipTo(0, 0), RangeError)
  const short = espPair({ esn: false, lifetime: { softPackets: 2 ** 50, hardPackets: 2 ** 51 } }).a
  short.skipTo(0, 2 ** 31 - 1)
  assert.ok(!short.isDueForRekey)
  sealed(short, payload)
  assert.ok(short.isDueForRekey)
})

test('A-25 no IV and number are used twice, whatever is sealed and refused between', () => {
  const { a } = espPair({ esn: true })
  const seen = new Set<string>()
  for (let i = 0; i < 5_000; i++) {
    const datagram = sealed(a, payload.subarray(0, 20 + (i % 40)))
    seen.add(Buffer.from(datagram.subarray(0, 16)).toString('hex'))
  }
  assert.equal(seen.size, 5_000)
})

test('lifetimes in packets and bytes: soft asks for another, hard ends both directions', () => {
  const packets = espPair({ lifetime: { softPackets: 3, hardPackets: 5 } })
  for (let i = 0; i < 2; i++) opened(packets.b, sealed(packets.a, payload))
  assert.ok(!packets.a.isDueForRekey)
  opened(packets.a, sealed(packets.b, payload))
  assert.ok(packets.a.isDueForRekey && packets.b.isDueForRekey, 'either direction counts')
  for (let i = 0; i < 2; i++) sealed(packets.a, payload)
  assert.ok(packets.a.isSpent && !packets.a.canSend)
  assert.equal(opened(packets.a, sealed(packets.b, payload)), DropReason.SessionExpired)
  const bytes = espPair({ lifetime: { softBytes: 1_000, hardBytes: 2_000 } }).a
  while (!bytes.isDueForRekey) sealed(bytes, payload)
  assert.ok(bytes.bytes >= 1_000 && bytes.bytes < 1_200)
  while (!bytes.isSpent) sealed(bytes, payload)
  assert.ok(bytes.bytes >= 2_000 && bytes.bytes < 2_200)
})

test('TFC padding hides the length and comes off again; trailers are aligned', () => {
  const { a, b } = espPair()
  const out = new Uint8Array(2_000)
  const size = a.seal(payload, payload.length, 1_280, EspNextHeader.Ipv4, out)
  assert.equal(size, a.sealedLength(1_280))
  const plain = new Uint8Array(2_000)
  const length = b.open(out.subarray(0, size), plain)
  assert.equal(checkTrailer(plain, length), 1_280)
  assert.deepEqual(plain.slice(0, payload.length), payload)
  assert.ok(plain.subarray(payload.length, 1_280).every((byte) => byte === 0))
  for (let length = 0; length < 100; length++) assert.equal((a.sealedLength(length) - 32) % 4, 0)
})

test('a wiped Child SA seals and opens nothing', () => {
  const { a, b } = espPair()
  const datagram = sealed(a, payload)
  a.wipe()
  b.wipe()
  assert.throws(() => sealed(a, payload))
  assert.throws(() => opened(b, datagram))
})
