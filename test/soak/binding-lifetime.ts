import { describe, test } from 'node:test'
import { judgeLifetime } from '#test/lab/mapping-lifetime.ts'

const minutes = Number(process.env.ADIT_SOAK_MINUTES ?? 60)
/** What the slowest of some rounds of silences takes, and three lifetimes after it, in lifetimes; and what a start takes, minutes. */
const rounds = 9
const start = 3
const lifetimes = [45, 60, 90, 120, 180, 300].filter((lifetime) => start + (rounds * lifetime) / 60 <= minutes)

/** The lifetimes that test/interop/binding-lifetime.test.ts has no time for, each in a network of its own, all at once. */
describe('lifetime of a UDP mapping', { concurrency: true }, () => {
  for (const lifetime of lifetimes)
    test(`P-05 conntrack that forgets after ${lifetime} s`, { timeout: (start + rounds * lifetime) * 60_000 }, (t) =>
      judgeLifetime(t, { lifetime, patience: (start + (6 * lifetime) / 60) * 60, metered: lifetime > 120 }),
    )
})
