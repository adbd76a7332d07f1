import assert from 'node:assert/strict'
import test from 'node:test'
import { afterEvent, beginLine, type LineState, type LineView, viewOf, withCount } from '#agent/station/screen/line-state.ts'
import { LiveTerminal } from '#agent/station/screen/live-terminal.ts'
import { drawTerminal } from '#agent/station/screen/terminal-view.ts'
import { count, eventAt, noon } from './watched-line.ts'

const size = { columns: 80, rows: 24 }
const hostile = '\u001b]0;owned\u0007\u001b[2J\u202egnp\r\nx'

/** A line in the middle of a batch: one passed, units in hand, five failures. */
function busy(text = 'The card is full.', units = 3): LineState {
  let state = withCount(beginLine(count, noon), { ...count, delivered: 40, failed: 5, unsynced: 7 })
  for (let n = 0; n < 5; n++)
    state = afterEvent(state, eventAt(n, `bad${n}`, 'failed', { code: 'disk-full', detail: text, mend: 'Take another card.' }))
  for (let n = 0; n < units; n++) state = afterEvent(state, eventAt(10 + n, `unit${n}`, 'writing', { progress: 0.5, name: text }))
  return afterEvent(state, eventAt(60_000, 'good', 'delivered', { name: text }))
}

const view = (state: LineState): LineView => viewOf(state, noon + 120_000)

test('a screen of 80 by 24 shows rate, batch, quota, this unit with its steps, the last failures with their mends', () => {
  const text = drawTerminal(view(busy()), size, false, 'http://127.0.0.1:8090/open/abc').join('\n')
  for (const part of [
    'line-7   quota left 1000, until 2026-12-31   7 to sync',
    '40 of 100 delivered, 5 failed, 0 scrapped',
    '30 units an hour, done in 2 h',
    '*** PASS  good',
    '>writing 50 %<',
    'bad4  pi-bad4  disk-full  120 s ago'.replace('120 s', '2 min'),
    'The card is full. Take another card.',
    'page for a tablet, once: http://127.0.0.1:8090/open/abc',
  ])
    assert.ok(text.includes(part), `${part}\nis not in\n${text}`)
})

test('on 80 columns the address of the page and the mend of a failure can be read to their ends', () => {
  const page = `http://[2001:db8:1234:5678:9abc:def0:1234:5678]:8090/open/${'A'.repeat(32)}`
  const detail = 'This card is not there: /srv/cards/of/the/second/line/10000000a1b2c3d4 does not exist.'
  const lines = drawTerminal(view(busy(detail)), size, false, page)
  assert.equal(lines.slice(-2).join(''), page)
  const text = lines.join(' ').replace(/ +/g, ' ')
  assert.ok(text.includes(`${detail} Take another card.`), text)
  assert.ok(text.includes('bad4') && text.includes('unit0'), text)
  assert.ok(lines.length <= size.rows)
})

test('no line is longer than the terminal, no screen higher, whatever its size and however much there is', () => {
  for (const columns of [20, 40, 80, 200])
    for (const rows of [4, 10, 24, 60])
      for (const colour of [false, true]) {
        const lines = drawTerminal(view(busy('x'.repeat(300), 64)), { columns, rows }, colour, 'http://127.0.0.1/')
        assert.ok(lines.length <= rows, `${lines.length} lines in ${rows}`)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: our own paint is what this takes away
        for (const line of lines) assert.ok([...line.replace(/\u001b\[[0-9;]*m/g, '')].length <= columns, line)
      }
})

test('escape sequences in names, details and mends never reach the terminal; paint is there with colour alone', () => {
  let state = busy(hostile)
  state = withCount(state, { ...state.count, station: hostile })
  for (const colour of [false, true]) {
    const out = drawTerminal(view(state), size, colour, hostile).join('\n')
    const ours = out.replaceAll('\u001b[30;42m', '').replaceAll('\u001b[0m', '')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
    assert.doesNotMatch(ours, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
    assert.equal(out.includes('\u001b[30;42m'), colour)
    assert.ok(out.includes('\\u{1b}]0;owned'))
  }
})

/** What a terminal of that size shows of what was written: cursor moves, text, erase to the end of the line, erase all. */
class Display {
  lines: string[] = []
  written = 0
  write(text: string): void {
    this.written += text.length
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal reads control characters
    for (const [, row, body] of text.matchAll(/\u001b\[(\d+);1H([^\u001b]*)\u001b\[K/g)) this.lines[Number(row) - 1] = body!
    if (text.endsWith('\u001b[2J')) this.lines = []
  }
}

test('only lines that changed are written again', () => {
  const display = new Display()
  const terminal = new LiveTerminal((text) => display.write(text))
  const lines = Array.from({ length: 24 }, (_, n) => `line ${n}`)
  terminal.draw(lines)
  assert.deepEqual(display.lines, lines)
  display.written = 0
  terminal.draw(lines)
  assert.equal(display.written, 0)
  const other = lines.with(7, 'another')
  terminal.draw(other)
  assert.deepEqual(display.lines, other)
  assert.ok(display.written < 20, `${display.written} characters for one line`)
  terminal.draw(lines.slice(0, 3))
  assert.deepEqual(
    display.lines.map((line) => line ?? ''),
    [...lines.slice(0, 3), ...Array(21).fill('')],
  )
})

test('the terminal is given back once', () => {
  let out = ''
  const terminal = new LiveTerminal((text) => {
    out += text
  })
  terminal.close()
  assert.equal(out, '')
  terminal.draw(['a'])
  terminal.close()
  terminal.close()
  assert.equal(out.split('\u001b[?1049h').length, 2)
  assert.equal(out.split('\u001b[?1049l').length, 2)
  assert.equal(out.split('\u001b[?25h').length, 2)
})
