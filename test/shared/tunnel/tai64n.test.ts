import assert from 'node:assert/strict'
import test from 'node:test'
import { wallTime } from '#shared/time/instant.ts'
import { compareTimestamps, nanosecondsOf, TimestampFloor, tai64n } from '#shared/tunnel/tai64n.ts'

/** A floor with a wall clock that the test sets and a flash that remembers the last reservation. */
function floorAt(ms: number, flash: { floor: Uint8Array | undefined; writes: number } = { floor: undefined, writes: 0 }) {
  const clock = { ms }
  const open = () =>
    new TimestampFloor(
      {
        wall: () => wallTime(clock.ms),
        reserve(floor) {
          flash.floor = floor
          flash.writes++
        },
      },
      flash.floor,
    )
  return { clock, flash, open }
}

test('TAI64N: 2^62 + 10 s at 1970, big-endian, nanoseconds behind', () => {
  assert.equal(Buffer.from(tai64n(0n)).toString('hex'), '400000000000000a00000000')
  assert.equal(Buffer.from(tai64n(1_532_126_331_000_000_123n)).toString('hex'), '400000005b5264850000007b')
  for (const n of [0n, 1n, 999_999_999n, 1_000_000_000n, 1n << 62n]) assert.equal(nanosecondsOf(tai64n(n)), n)
  assert.throws(() => nanosecondsOf(new Uint8Array(11)), RangeError)
})

test('timestamps grow while the clock stands, falls back by an hour, or is 1970', () => {
  const { clock, open } = floorAt(1_700_000_000_000)
  const floor = open()
  let last = floor.next()
  for (const ms of [1_700_000_000_000, 1_700_000_000_000, 1_699_996_400_000, 0, -5, 1_700_000_000_001, 1_800_000_000_000]) {
    clock.ms = ms
    for (let i = 0; i < 3; i++) {
      const next = floor.next()
      assert.equal(compareTimestamps(next, last), 1)
      last = next
    }
  }
})

test('a start after a power cut is above everything before, also with the clock in 1970', () => {
  const { clock, flash, open } = floorAt(1_700_000_000_000)
  let last = open().next()
  for (let boot = 0; boot < 20; boot++) {
    clock.ms = boot % 2 ? 0 : 1_700_000_000_000 + boot * 1000
    const floor = open()
    for (let i = 0; i < 5; i++) {
      const next = floor.next()
      assert.equal(compareTimestamps(next, last), 1, `boot ${boot}`)
      assert.ok(compareTimestamps(next, flash.floor!) <= 0, 'what is used was reserved')
      last = next
    }
  }
})

test('flash is written once an hour of handshakes, and restarts do not push the floor away', () => {
  const { clock, flash, open } = floorAt(1_700_000_000_000)
  let floor = open()
  for (let minute = 0; minute < 600; minute += 2) {
    clock.ms += 120_000
    floor.next()
  }
  assert.ok(flash.writes <= 11, `${flash.writes} writes in ten hours`)
  for (let boot = 0; boot < 1000; boot++) {
    floor = open()
    floor.next()
  }
  const ahead = nanosecondsOf(flash.floor!) - BigInt(clock.ms) * 1_000_000n
  assert.ok(ahead < 2n * 3_600_000_000_000n, 'at most two hours ahead after a thousand restarts')
})

test('D5: above the timestamp that the broker took, once it is told', () => {
  const { open } = floorAt(0)
  const floor = open()
  const taken = tai64n(1_900_000_000_000_000_000n)
  floor.next()
  floor.raise(taken)
  assert.equal(compareTimestamps(floor.next(), taken), 1)
  floor.raise(tai64n(5n))
  assert.equal(compareTimestamps(floor.next(), taken), 1, 'never lowered')
})
