import assert from 'node:assert/strict'
import test from 'node:test'
import { PathMtu } from '#shared/nat/path-mtu.ts'
import { instant, milliseconds } from '#shared/time/instant.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

const roundTrip = 40

/** A path that takes `mtu` bytes and loses a part of the probes; drives the machine over it. */
class Path {
  readonly machine = new PathMtu()
  mtu: number
  now = 0
  probes = 0
  hopeless = 0
  readonly #dice: () => number
  readonly #loss: number
  #answers: { at: number; size: number }[] = []

  constructor(mtu: number, base: number, ceiling: number, { loss = 0, seed = 1 } = {}) {
    this.mtu = mtu
    this.#loss = loss
    this.#dice = seeded(seed)
    this.machine.handle({ kind: 'path', base, ceiling }, instant(0))
    this.machine.handle({ kind: 'round-trip', roundTrip: milliseconds(roundTrip) }, instant(0))
    this.#drain()
  }

  /** As `PathMtuInput`, now. */
  tell(kind: 'black-hole' | 'used'): void {
    this.machine.handle({ kind }, instant(this.now))
    this.#drain()
  }

  answer(size: number): void {
    this.machine.handle({ kind: 'answered', size }, instant(this.now))
    this.#drain()
  }

  /** Returns how long it took until `until`; Infinity if it did not come in `ms`. */
  run(ms: number, until: () => boolean = () => false): number {
    const from = this.now
    const end = this.now + ms
    while (!until()) {
      const next = Math.min(this.#answers[0]?.at ?? Infinity, this.machine.deadline()?.at ?? Infinity)
      if (next > end) {
        this.now = end
        return until() ? this.now - from : Infinity
      }
      this.now = Math.max(this.now, next)
      while (this.#answers[0] !== undefined && this.#answers[0].at <= this.now) this.answer(this.#answers.shift()!.size)
      this.machine.handle({ kind: 'time' }, instant(this.now))
      this.#drain()
    }
    return this.now - from
  }

  #drain(): void {
    for (let output = this.machine.poll(); output !== undefined; output = this.machine.poll()) {
      if (output.kind === 'hopeless') this.hopeless++
      if (output.kind !== 'probe') continue
      this.probes++
      if (output.size <= this.mtu && this.#dice() >= this.#loss)
        this.#answers.push({ at: this.now + roundTrip, size: output.size })
    }
  }
}

test('P-25 F-14 a black hole of any size is left within a second, and its size found to 16 bytes', () => {
  for (let mtu = 576; mtu < 1_340; mtu += 7) {
    const path = new Path(mtu, 1_340, 1_340)
    path.tell('black-hole')
    assert.ok(path.run(1_000, () => path.machine.size <= mtu) < 1_000, `${mtu}`)
    path.run(20_000, () => !path.machine.isSearching)
    assert.ok(path.machine.size <= mtu && path.machine.size > mtu - 17, `${mtu}: ${path.machine.size}`)
    assert.ok(path.machine.isProven)
    assert.ok(path.probes < 60, `${path.probes} probes`)
  }
})

test('at 10 % loss the size found passes, in all of 200 seeds', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const path = new Path(1_111, 1_340, 1_340, { loss: 0.1, seed })
    path.tell('black-hole')
    path.run(20_000)
    assert.ok(path.machine.size <= 1_111 && path.machine.size >= 1_000 - 24, `seed ${seed}: ${path.machine.size}`)
  }
})

test('a false alarm changes nothing', () => {
  const path = new Path(1_500, 1_340, 1_340)
  path.tell('black-hole')
  path.run(5_000)
  assert.equal(path.machine.size, 1_340)
  assert.ok(!path.machine.isSearching)
})

test('nothing above the base is tried before it is proven and used; then the ceiling, and again after ten minutes', () => {
  const path = new Path(1_400, 1_340, 1_480)
  path.tell('used')
  path.run(60_000)
  assert.equal(path.probes, 0)
  path.answer(1_340)
  path.run(2_000)
  path.tell('used')
  path.run(20_000)
  assert.ok(path.machine.size <= 1_400 && path.machine.size > 1_384)
  path.mtu = 1_500
  path.tell('used')
  path.run(20_000)
  assert.ok(path.machine.size <= 1_400, 'too early')
  path.run(600_000)
  path.tell('used')
  path.run(5_000)
  assert.equal(path.machine.size, 1_480)
})

test('a path below 576 bytes is hopeless, and said to be', () => {
  const path = new Path(500, 1_340, 1_340)
  path.tell('black-hole')
  path.run(5_000)
  assert.equal(path.hopeless, 1)
})

test('another path begins anew', () => {
  const path = new Path(1_000, 1_340, 1_340)
  path.tell('black-hole')
  path.run(5_000)
  path.machine.handle({ kind: 'path', base: 1_360, ceiling: 1_500 }, instant(path.now))
  assert.equal(path.machine.size, 1_360)
  assert.ok(!path.machine.isProven)
})
