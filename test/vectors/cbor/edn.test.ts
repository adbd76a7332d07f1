import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CborSimple, CborTag } from '#shared/telemetry/cbor.ts'
import { EdnError, parseEdn } from '#test/vectors/cbor/edn.ts'

test('diagnostic notation as test files write it', () => {
  assert.deepEqual(
    parseEdn('{"a": [1, -2.5, 0x1F,], # a comment\n 3: h\'01 FF\' }'),
    new Map<unknown, unknown>([
      ['a', [1, -2.5, 31]],
      [3, Uint8Array.of(1, 255)],
    ]),
  )
  assert.deepEqual(parseEdn("[_ true, null, undefined, NaN, -Infinity, simple(16), 1(1363896240), 23(b64'AQI=')]"), [
    true,
    null,
    undefined,
    Number.NaN,
    Number.NEGATIVE_INFINITY,
    new CborSimple(16),
    new CborTag(1, 1363896240),
    new CborTag(23, Uint8Array.of(1, 2)),
  ])
  assert.equal(parseEdn('-0x1c0000000000000001'), -0x1c0000000000000001n)
  assert.ok(Object.is(parseEdn('-0.0'), -0))
  assert.equal(parseEdn('1_2'), 1)
  assert.equal(parseEdn('(_ "strea", "ming")'), 'streaming')
  assert.deepEqual(parseEdn("(_ h'0102', h'03')"), Uint8Array.of(1, 2, 3))
  assert.deepEqual(parseEdn("'ab'"), Uint8Array.of(0x61, 0x62))
  assert.equal(parseEdn('"\\u{1F600}\\n\\""_1'), '😀\n"')
  assert.deepEqual(parseEdn('/ before / {_ } / after /'), new Map())
})

test('what it does not know is an error, not a guess', () => {
  for (const text of ['', '[1', '{"a"}', '"open', 'perhaps', '1 2', '(1)', '[1}'])
    assert.throws(
      () => parseEdn(text),
      (error: unknown) => error instanceof EdnError,
      text,
    )
})
