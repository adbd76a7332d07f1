import assert from 'node:assert/strict'
import test from 'node:test'
import { labelOf } from '#agent/station/labels/label.ts'
import { makeLabel } from '#agent/station/labels/made-label.ts'
import { encodeZpl } from '#agent/station/labels/zpl.ts'
import { label, pairing, unit } from './labelled-unit.ts'

/** Commands in their order with what stands after each, as a printer splits them: at `^` or `~`, which nothing escapes. */
const commandsOf = (zpl: string): [command: string, rest: string][] =>
  [...zpl.matchAll(/[\^~]([A-Z@][A-Z0-9@]?)([^^~]*)/g)].map(([, command, rest]) => [command!, rest!.trimEnd()])

/** What a printer takes of a field under ^FH_: `_XX` is a byte. */
const fieldOf = (data: string): string =>
  Buffer.from(
    data.replace(/_([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString('utf8')

test('a label is one format: its size, the code with the whole URL, the lines of text, one copy', async () => {
  const { layout } = await makeLabel(label, 'zpl', {})
  const commands = commandsOf(encodeZpl(layout, label.url))
  assert.deepEqual(commands.slice(0, 5), [
    ['XA', ''],
    ['CI', '28'],
    ['PW', '408'],
    ['LL', '200'],
    ['LH', '0,0'],
  ])
  assert.deepEqual(commands.slice(-2), [
    ['PQ', '1'],
    ['XZ', ''],
  ])
  const data = commands.filter(([command]) => command === 'FD').map(([, rest]) => fieldOf(rest))
  assert.equal(data[0], `MA,${label.url}`)
  assert.deepEqual(data.slice(1).join(' '), layout.lines.map(({ text }) => text).join(' '))
  assert.equal(commands.filter(([command]) => command === 'FS').length, data.length)
  assert.equal(commands.filter(([command]) => command === 'BQ')[0]![1], `N,2,${layout.qr.module}`)
})

test('no sign in a field begins a command or an escape of its own', async () => {
  const hostile = labelOf({ ...unit, name: 'a^xz~ja_41,ü\\&' }, pairing)
  const { layout } = await makeLabel(hostile, 'zpl', { labelSize: '100x50' })
  const commands = commandsOf(encodeZpl(layout, hostile.url))
  assert.equal(commands.filter(([command]) => command === 'XZ').length, 1)
  assert.equal(commands.filter(([command]) => command.startsWith('J')).length, 0)
  const fields = commands.filter(([command]) => command === 'FD').map(([, rest]) => fieldOf(rest))
  assert.equal(fields[1], 'a^xz~ja_41,ü\\&')
  for (const [command, rest] of commands) if (command === 'FD') assert.match(rest, /^[\x20-\x7e]*$/)
})
