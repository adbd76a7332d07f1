import assert from 'node:assert/strict'
import test from 'node:test'
import { formatDuration, parseDuration, tryParseDuration } from '#shared/time/duration-text.ts'
import { milliseconds } from '#shared/time/instant.ts'

test('spans with their units, both ways', () => {
  const spans: [string, number][] = [
    ['25s', 25_000],
    ['30m', 1_800_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['1h30m', 5_400_000],
    ['1500ms', 1_500],
    ['2w', 1_209_600_000],
  ]
  for (const [text, ms] of spans) {
    assert.equal(tryParseDuration(text), ms, text)
    assert.equal(tryParseDuration(formatDuration(milliseconds(ms))), ms, text)
  }
  assert.equal(formatDuration(milliseconds(90_061_001)), '1d1h1m1s1ms')
})

test('anything else is refused', () => {
  for (const text of ['', '25', 's', '-1s', '1.5h', '1 h', '1y', '999999999w', '24h ', '1h;']) {
    assert.equal(tryParseDuration(text), undefined, text)
    assert.throws(() => parseDuration(text, '--ttl'), { code: 'usage' })
  }
})
