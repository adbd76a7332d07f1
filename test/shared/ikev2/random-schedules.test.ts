import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instant } from '#shared/time/instant.ts'
import { type Parcel, seeded, TwoEnds } from './two-ends.ts'
import { assertWorking } from './working.ts'

/** Virtual milliseconds in which exchanges begin while messages are lost, doubled and overtake each other; then the wire is good. */
const STORM = 6_000
const CALM = 200_000
/** Schedules that one pair of machines lives through, the first of them from the first message on. */
const STORMS_EACH = 10
const ACTIONS = 2

interface Flight {
  readonly at: number
  readonly parcel: Parcel
}

/** One schedule: both ends begin exchanges at random moments, over a wire that loses, doubles and reorders. */
function storm(town: TwoEnds, dice: () => number): void {
  const begin = town.now
  const flying: Flight[] = []
  const loss = dice() * 0.4
  const doubling = dice() * 0.2
  const spread = dice() < 0.5 ? 50 : 2_000
  const launch = (): void => {
    for (const parcel of town.wire.splice(0)) {
      const good = town.now > begin + STORM
      if (!good && dice() < loss) continue
      const copies = !good && dice() < doubling ? 2 : 1
      for (let i = 0; i < copies; i++) flying.push({ at: town.now + 20 + (good ? 0 : dice() * spread), parcel })
    }
  }
  const actions = Array.from({ length: ACTIONS }, () => begin + dice() * STORM).sort((x, y) => x - y)
  launch()
  for (;;) {
    let next = Math.min(town.deadline ?? Number.POSITIVE_INFINITY, actions[0] ?? Number.POSITIVE_INFINITY)
    for (const { at } of flying) next = Math.min(next, at)
    if (next > begin + CALM) break
    town.now = instant(Math.max(town.now, next))
    if (actions[0] !== undefined && town.now >= actions[0]) {
      actions.shift()
      act(town, dice)
    }
    town.expire()
    for (let i = flying.length - 1; i >= 0; i--) {
      if (flying[i]!.at > town.now) continue
      const [{ parcel }] = flying.splice(i, 1) as [Flight]
      town.deliver(parcel)
    }
    launch()
  }
  town.now = instant(begin + CALM)
}

/** Something that begins an exchange, at either end or at both. */
function act(town: TwoEnds, dice: () => number): void {
  const both = dice() < 0.5
  const sides = both ? (['a', 'b'] as const) : dice() < 0.5 ? (['a'] as const) : (['b'] as const)
  const what = dice()
  for (const side of sides) {
    const { sa, installed } = town.end(side)
    if (sa === undefined || sa.state !== 'established') continue
    const [spi] = installed.keys()
    if (what < 0.4 && spi !== undefined) sa.rekeyChild(spi, town.now)
    else if (what < 0.75) sa.rekeyIke(town.now)
    else if (what < 0.85) sa.probe(town.now)
    else if (what < 0.92) sa.move(town.now)
    else if (spi !== undefined) sa.closeChild(spi, town.now)
  }
  town.collect()
}

/** `SCHEDULES=…` and `FIRST=…` look at more of them, or at one pair again. */
const { SCHEDULES = '10000', FIRST = '1' } = process.env
const [schedules, first] = [Number(SCHEDULES), Number(FIRST)]

test(`P-27 P-28 ${schedules} random schedules of loss, doubling and reordering end in one IKE SA and one Child SA`, () => {
  const patient = { settings: { patience: undefined } }
  for (let seed = first; seed < first + schedules / STORMS_EACH; seed++) {
    const dice = seeded(seed)
    const town = new TwoEnds({ seed, cheap: true, a: patient, b: patient })
    town.initiate()
    for (let round = 0; round < STORMS_EACH; round++) {
      try {
        storm(town, dice)
        assertWorking(town)
      } catch (error) {
        throw new assert.AssertionError({
          message: `pair ${seed}, storm ${round}: ${error instanceof Error ? error.stack : error}`,
        })
      }
    }
  }
})
