import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Instruction,
  laneOfDatagram,
  laneOfNumber,
  laneOfPeer,
  MOST_LANES,
  steeringProgram,
} from '#shared/platform/linux-engine/steering.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

/** Classic BPF as its documents say (bpf(4), Documentation/networking/filter.rst), as far as the program uses it. */
function interpret(program: readonly Instruction[], datagram: Uint8Array): number {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length)
  let a = 0
  for (let i = 0; i < program.length; i++) {
    const [code, jt, jf, k] = program[i]!
    if (code === 0x20) {
      if (k + 4 > datagram.length) return 0
      a = view.getUint32(k)
    } else if (code === 0x30) {
      if (k + 1 > datagram.length) return 0
      a = datagram[k]!
    } else if (code === 0x15) i += a === k ? jt : jf
    else if (code === 0x45) i += (a & k) !== 0 ? jt : jf
    else if (code === 0x05) i += k
    else if (code === 0x94) a %= k
    else if (code === 0x06) return k
    else if (code === 0x16) return a
    else assert.fail(`code ${code}`)
  }
  assert.fail('the program does not end')
}

const noise = (index: number): Uint8Array => {
  const datagram = new Uint8Array(64)
  datagram[0] = 4
  new DataView(datagram.buffer).setUint32(4, index, true)
  return datagram
}

const esp = (spi: number): Uint8Array => {
  const datagram = new Uint8Array(64)
  new DataView(datagram.buffer).setUint32(0, spi)
  return datagram
}

test('what the kernel is told, what the main thread computes and what a number says are one', () => {
  const dice = seeded(5)
  for (const lanes of [2, 3, 4, 7, MOST_LANES]) {
    const program = steeringProgram(lanes)
    const met = new Set<number>()
    for (let i = 0; i < 500; i++) {
      const number = Math.floor(dice() * 2 ** 32)
      const spi = (number | 0x8000_0000) >>> 0
      for (const [datagram, local] of [
        [noise(number), number],
        [esp(spi), spi],
      ] as const) {
        const lane = laneOfNumber(local, lanes)
        assert.equal(laneOfDatagram(datagram, lanes), lane)
        assert.equal(interpret(program, datagram), lane)
        met.add(lane)
      }
    }
    assert.equal(met.size, lanes)
  }
})

test('all else, and whatever is too short to say, is for lane 0; no datagram is for a lane that there is not', () => {
  const dice = seeded(6)
  const handshake = noise(0x0303_0303)
  handshake[0] = 1
  const odd = noise(0x0303_0303)
  odd[2] = 1
  const ike = esp(0x0000_0000)
  const stun = esp(0x0001_0003)
  for (const datagram of [handshake, odd, ike, stun, new Uint8Array(0), Uint8Array.of(0xff, 1, 1), noise(3).subarray(0, 4)]) {
    assert.equal(laneOfDatagram(datagram, 4), 0)
    assert.equal(interpret(steeringProgram(4), datagram), 0)
  }
  for (let i = 0; i < 5_000; i++) {
    const datagram = Uint8Array.from({ length: Math.floor(dice() * 12) }, () => dice() * 256)
    if (dice() < 0.5 && datagram.length > 0) datagram[0] = dice() < 0.5 ? 4 : 0x80
    if (dice() < 0.5) datagram.fill(0, 1, 4)
    const lane = laneOfDatagram(datagram, 3)
    assert.ok(lane >= 0 && lane < 3)
    assert.equal(interpret(steeringProgram(3), datagram), lane)
  }
})

test('a peer is always of the same lane, and peers are spread over all', () => {
  const dice = seeded(7)
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < 4_000; i++) {
    const key = Array.from({ length: 64 }, () => Math.floor(dice() * 16).toString(16)).join('')
    const lane = laneOfPeer(key, 4)
    assert.equal(laneOfPeer(key, 4), lane)
    assert.equal(laneOfPeer(key, 1), 0)
    counts[lane]!++
  }
  assert.ok(
    counts.every((count) => count > 800 && count < 1_200),
    counts.join(),
  )
})
