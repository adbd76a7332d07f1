import assert from 'node:assert/strict'
import test from 'node:test'
import { age } from '#shared/terminal/age.ts'
import { printable } from '#shared/terminal/printable.ts'
import { table } from '#shared/terminal/table.ts'

test('A-77 escape codes, control characters and bidirectional marks are shown, never obeyed', () => {
  assert.equal(printable('a\u001b[2Jb\r\nc\u202ed\u009be\ufefff'), 'a\\u{1b}[2Jb\\u{d}\\u{a}c\\u{202e}d\\u{9b}e\\u{feff}f')
  assert.equal(printable('Größe 21 °C 🙂'), 'Größe 21 °C 🙂')
})

test('columns stand under each other, and lines have no spaces at their end', () => {
  assert.equal(
    table([
      ['NAME', 'STATE'],
      ['pi', 'up'],
      ['a-longer-one', ''],
    ]),
    'NAME          STATE\npi            up\na-longer-one\n',
  )
})

test('ages are told in the largest unit that gives two of it', () => {
  const rows: [number | null, string][] = [
    [null, '-'],
    [0, '0 s ago'],
    [119, '119 s ago'],
    [120, '2 min ago'],
    [7_199, '119 min ago'],
    [7_200, '2 h ago'],
    [172_800, '2 d ago'],
  ]
  for (const [seconds, text] of rows) assert.equal(age(seconds), text)
})
