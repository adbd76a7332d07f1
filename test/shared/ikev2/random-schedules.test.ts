import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instant } from '#shared/time/instant.ts'
import { type Parcel, seeded, TwoEnds } from './two-ends.ts'
import { assertWorking } from './working.ts'

/** Virtual seconds in which rekeys begin while messages are lost, doubled and overtake each other; then the wire is good. */
const STORM = 12_000
const CALM = 400_000

interface Flight {
  readonly at: number
  readonly parcel: Parcel
}

/** One history: both ends rekey what they have at random moments, over a wire that loses, doubles and reorders. */
function storm(seed: number): TwoEnds {
  const dice = seeded(seed)
  const town = new TwoEnds({ seed, cheap: true, a: { settings: { patience: undefined } }, b: { settings: { patience: undefined } } })
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
  const actions = Array.from({ length: 4 }, () => begin + 1_000 + dice() * (STORM - 2_000)).sort((x, y) => x - y)
  town.initiate()
  launch()
  while (town.now < begin + CALM) {
    const arrival = flying.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY)
    const next = Math.min(arrival, town.deadline ?? Number.POSITIVE_INFINITY, actions[0] ?? Number.POSITIVE_INFINITY)
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
  return town
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
    else if (what < 0.8) sa.rekeyIke(town.now)
    else if (what < 0.9) sa.probe(town.now)
    else if (spi !== undefined && side === 'a') sa.closeChild(spi, town.now)
  }
  town.collect()
}

const seeds = Number(process.env['SCHEDULES'] ?? 10_000)
const first = Number(process.env['FIRST'] ?? 1)

test(`P-27 P-28 ${seeds} random schedules of loss, doubling and reordering end in one IKE SA and one Child SA`, () => {
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      assertWorking(storm(seed))
    } catch (error) {
      throw new assert.AssertionError({ message: `seed ${seed}: ${error instanceof Error ? error.stack : error}` })
    }
  }
})
