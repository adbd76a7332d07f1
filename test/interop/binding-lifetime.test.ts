import { describe, test } from 'node:test'
import { judgeLifetime } from '#test/lab/mapping-lifetime.ts'

/** Longer ones: `make soak` (test/soak/binding-lifetime.ts), and all of them under virtual time. */
describe('lifetime of a UDP mapping', { concurrency: true }, () => {
  for (const lifetime of [15, 20, 30])
    test(`P-05 conntrack that forgets after ${lifetime} s: the interval is 0.70 to 0.95 of that, by at most ten probes, and it holds`, (t) =>
      // From the agent's start: its patience before it learns, three rounds of silences, and what proves each of them.
      judgeLifetime(t, { lifetime, patience: 330 }))
})
