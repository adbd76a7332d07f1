import assert from 'node:assert/strict'
import test from 'node:test'
import { affordableInterval, intervalEnough, monthlyOctets, monthlyPollOctets } from '#shared/nat/data-budget.ts'
import { minutes, seconds } from '#shared/time/instant.ts'

test('an idle month in octets at the interface: what DESIGN D7 promises for 110 s, and a NAT of half a minute', () => {
  assert.equal(Math.round(monthlyOctets(seconds(110), 'v4')), 1_040_727)
  assert.equal(Math.round(monthlyOctets(seconds(110), 'v6')), 1_684_800)
  assert.ok(monthlyOctets(seconds(27.8), 'v4') <= 3.8e6)
  assert.ok(monthlyPollOctets(minutes(15), 'v4') < 350_000)
})

test('a budget pays for an interval, and for no shorter one', () => {
  for (const family of ['v4', 'v6'] as const) {
    for (const megabytes of [0.5, 1.1, 1.8, 3.8, 5]) {
      const interval = affordableInterval(megabytes, family)
      const spent = monthlyOctets(interval, family) / 1e6
      assert.ok(spent <= megabytes && spent > 0.85 * megabytes, `${megabytes} MB pay for ${interval} ms, which cost ${spent} MB`)
    }
  }
})

test('how long an interval is of use: 110 s, longer where a budget wants it, without an end where every octet is paid for', () => {
  assert.equal(intervalEnough('normal', undefined, 'v4'), 110_000)
  assert.equal(intervalEnough('normal', 2, 'v4'), 110_000)
  assert.ok(intervalEnough('normal', 0.6, 'v4')! > 190_000)
  assert.equal(intervalEnough('metered', undefined, 'v4'), undefined)
})
