import assert from 'node:assert/strict'
import test from 'node:test'
import { judgeContact, type RatchetContact, type RatchetLine } from '#broker/clones/ratchet-line.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { HardwareHints } from '#shared/enrolment/hardware-hints.ts'
import { advance, announce, freshRatchet, type RatchetState } from '#shared/enrolment/ratchet.ts'

/** Dice from a seed (mulberry32). */
function diceOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Where a power cut may fall in a contact of the device. */
const cuts = ['none', 'before-announced', 'announced', 'broker-took', 'answered', 'advanced'] as const
type Cut = (typeof cuts)[number]

/** The device of one board and card with its two copies of the file, the wire, and the broker's line: the real machines of both. */
class Bench {
  readonly random: (length: number) => Uint8Array
  broker: RatchetLine | undefined
  alerts = 0
  /** What the newer copy holds, and the older one: a write may be cut between them. */
  #serial = 0

  constructor(seed: number) {
    const dice = diceOf(seed)
    this.random = (length) => Uint8Array.from({ length }, () => Math.floor(dice() * 256))
  }

  board(): HardwareHints {
    const n = ++this.#serial
    return { cpu: `cpu${n}`, card: `card${n}`, macs: [`eth${n}`, `wlan${n}`], model: 'pi', machine: 'id' }
  }

  device(board: HardwareHints): Machine {
    return new Machine(this, board, freshRatchet(this.random))
  }

  take({ step, present, next }: Required<RatchetState>, hints: HardwareHints): ReturnType<typeof judgeContact> {
    const hash = (bytes: Uint8Array): string => toHex(nativeSuite.hash('sha256', bytes))
    const contact: RatchetContact = { step, present: hash(present), next: hash(next), hints }
    const judged = judgeContact(this.broker, contact)
    this.broker = judged.line
    if (judged.kind === 'forked') this.alerts++
    return judged
  }
}

class Machine {
  readonly #bench: Bench
  board: HardwareHints
  file: RatchetState

  constructor(bench: Bench, board: HardwareHints, file: RatchetState) {
    this.#bench = bench
    this.board = board
    this.file = file
  }

  copyTo(board: HardwareHints): Machine {
    return new Machine(this.#bench, board, this.file)
  }

  /** One contact with a power cut in it; undefined where the broker was not reached. */
  contact(cut: Cut = 'none'): ReturnType<typeof judgeContact>['kind'] | undefined {
    if (cut === 'before-announced') return undefined
    const announced = announce(this.file, this.#bench.random)
    this.file = announced
    if (cut === 'announced') return undefined
    const { kind } = this.#bench.take(announced, this.board)
    if (cut === 'broker-took' || cut === 'answered') return kind
    if (kind !== 'forked') this.file = advance(announced)
    return kind
  }

  /** A boot: what was announced before is finished first, then a step of its own. */
  boot(): string | undefined {
    if (this.file.next !== undefined) {
      const first = this.contact()
      if (first === 'forked') return first
    }
    return this.contact()
  }
}

test('F-22 no order of power cuts makes an honest device look like a copy: all of them, five contacts long', () => {
  const depth = 5
  let histories = 0
  for (let code = 0; code < cuts.length ** depth; code++) {
    const bench = new Bench(code)
    const device = bench.device(bench.board())
    for (let at = 0, rest = code; at < depth; at++, rest = Math.floor(rest / cuts.length))
      device.contact(cuts[rest % cuts.length])
    assert.notEqual(device.boot(), 'forked')
    assert.deepEqual([bench.alerts, bench.broker?.abandoned], [0, []], `history ${code}`)
    histories++
  }
  assert.equal(histories, 7_776)
})

test('A-45 every copy is noticed at its second use at the latest, wherever it was taken and whoever is used first', () => {
  for (let seed = 0; seed < 2_000; seed++) {
    const dice = diceOf(seed * 7 + 1)
    const pick = (n: number): number => Math.floor(dice() * n)
    const bench = new Bench(seed)
    const original = bench.device(bench.board())
    for (let i = pick(6); i >= 0; i--) original.contact(cuts[pick(cuts.length)])
    original.boot()
    if (pick(2) === 0) original.contact(cuts[pick(cuts.length)])
    const isVirtual = pick(3) === 0
    const copy = original.copyTo(isVirtual ? original.board : bench.board())
    const uses = { original: 0, copy: 0 }
    for (let i = 0; i < 40 && bench.alerts === 0; i++) {
      const who = pick(2) === 0 ? 'original' : 'copy'
      uses[who]++
      ;(who === 'original' ? original : copy).boot()
      // The second use that has one of the other between it and the first.
      if (!isVirtual && uses.original >= 1 && uses.copy >= 1) assert.equal(bench.alerts, 1, `seed ${seed}: not at once`)
    }
    assert.equal(bench.alerts, 1, `seed ${seed}: ${JSON.stringify(uses)}`)
  }
})

test('A-45 a copy on the very same hardware (a virtual machine) is noticed when both have come back', () => {
  const bench = new Bench(1)
  const original = bench.device(bench.board())
  for (let i = 0; i < 5; i++) original.boot()
  const copy = original.copyTo(original.board)
  original.boot()
  assert.equal(copy.boot(), 'restored', 'its first use: it may be a backup')
  assert.equal(original.boot(), 'restored', 'whoever never left comes back')
  assert.equal(copy.boot(), 'forked', 'its second use')
})

test('P-18 kept is whose board was there when the two were one, also where the copy was used first and longer', () => {
  for (const used of [1, 2, 17]) {
    const bench = new Bench(used)
    const original = bench.device(bench.board())
    for (let i = 0; i < 4; i++) original.boot()
    const copy = original.copyTo(bench.board())
    for (let i = 0; i < used; i++) assert.equal(copy.boot(), 'advanced')
    const announced = announce(original.file, bench.random)
    const judged = bench.take(announced, original.board)
    assert.equal(judged.kind === 'forked' && judged.keep, 'newcomer')
    original.file = advance(announced)
    assert.equal(original.boot(), 'advanced', 'the line goes on with the original')
    assert.equal(copy.boot(), 'forked', 'and the copy is out')
  }
})

test('A-45 1,000 seeded lives with restored backups, lost files, other parts and power cuts: not one false alarm', () => {
  const seen = { restored: 0, cuts: 0, parts: 0, lost: 0 }
  for (let seed = 0; seed < 1_000; seed++) {
    const dice = diceOf(seed)
    const pick = (n: number): number => Math.floor(dice() * n)
    const bench = new Bench(seed)
    const device = bench.device(bench.board())
    const backups: RatchetState[] = []
    for (let turn = 0; turn < 40; turn++) {
      const what = pick(8)
      if (what === 0) backups.push(device.file)
      else if (what === 1 && backups.length > 0) {
        // The backups after the one that is restored are no longer of this life.
        device.file = backups[pick(backups.length)]!
        backups.length = backups.indexOf(device.file) + 1
        seen.restored++
      } else if (what === 2) {
        device.board = otherPart(device.board, bench.board(), pick(4))
        device.boot()
        seen.parts++
      } else if (what === 3 && pick(4) === 0) {
        device.file = freshRatchet(bench.random)
        seen.lost++
      } else if (what === 4) {
        device.contact(cuts[1 + pick(cuts.length - 1)])
        seen.cuts++
      } else device.boot()
      assert.equal(bench.alerts, 0, `seed ${seed}, turn ${turn}`)
    }
  }
  assert.ok(
    Object.values(seen).every((count) => count > 500),
    JSON.stringify(seen),
  )
})

test('A-45 a restored backup on a board with one other part is not called a copy; on another board with another card it is', () => {
  for (const part of [0, 1, 2]) {
    const bench = new Bench(part)
    const device = bench.device(bench.board())
    const backup = device.file
    for (let i = 0; i < 5; i++) device.boot()
    device.file = backup
    device.board = otherPart(device.board, bench.board(), part)
    assert.equal(device.boot(), 'restored', `part ${part}`)
    device.file = backup
    device.board = bench.board()
    assert.equal(device.boot(), 'forked')
  }
})

/** 0: another network card; 1: another memory card; 2: another board, the same card; 3: a card and machine-id made anew. */
function otherPart(board: HardwareHints, other: HardwareHints, part: number): HardwareHints {
  if (part === 0) return { ...board, macs: [board.macs![0]!, other.macs![0]!] }
  if (part === 1) return { ...board, card: other.card }
  if (part === 2) return { ...board, cpu: other.cpu, macs: other.macs, model: 'pi' }
  return { ...board, machine: `${other.cpu}-id` }
}
