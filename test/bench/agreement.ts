import type { Suite } from '#shared/crypto/suite.ts'

/**
 * What one X25519 agreement costs in this very run, in microseconds of CPU, so that a slower machine can be judged honestly: where the bars
 * were set it took 29 (LIBRARIES.md: 29 us).
 */
export function agreementCost(suite: Suite): number {
  const own = suite.x25519.generate()
  const other = suite.x25519.generate().publicKey
  for (let i = 0; i < warmUp; i++) suite.x25519.shared(own, other)
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) suite.x25519.shared(own, other)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / times
}

const warmUp = 50
const times = 400

/** Microseconds, where the bars were set. */
const barCost = 29

/** `rate` a second, and the bar, as so many agreements each. `cost`: of one, taken beside what was measured. */
export function inAgreements(rate: number, cost: number, bar: number): string {
  const of = (perSecond: number, each: number): string => (1e6 / perSecond / each).toFixed(2)
  return `= ${of(rate, cost)} X25519 agreements of ${cost.toFixed(0)} us in the same run; bar <= ${of(bar, barCost)}`
}
