import assert from 'node:assert/strict'
import test from 'node:test'
import { ProbeLoss } from '#agent/core/probe-loss.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

/** What a verdict takes after 200 probes of which this part was lost. */
function after(part: number): number {
  const dice = seeded(3)
  const loss = new ProbeLoss()
  let lost = 0
  const sums: number[] = []
  for (let i = 0; i < 400; i++) {
    if (dice() < part) lost++
    else {
      loss.returned(lost)
      lost = 0
      if (i > 50) sums.push(loss.verdict(3))
    }
  }
  return sums.reduce((a, b) => a + b) / sums.length
}

test('the more is lost on a path that works, the more a verdict takes; never more than twelve', () => {
  assert.equal(new ProbeLoss().verdict(3), 3)
  assert.equal(new ProbeLoss().verdict(6), 6)
  assert.equal(after(0), 3)
  assert.ok(after(0.1) > 3.5 && after(0.1) < 7, `${after(0.1)}`)
  assert.ok(after(0.3) > 7 && after(0.3) < 12, `${after(0.3)}`)
  assert.ok(after(0.7) > 11 && after(0.7) <= 12, `${after(0.7)}`)
})

test('another path has lost nothing yet', () => {
  const loss = new ProbeLoss()
  loss.returned(5)
  assert.ok(loss.verdict(3) > 3)
  loss.forget()
  assert.equal(loss.verdict(3), 3)
})
