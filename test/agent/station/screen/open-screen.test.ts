import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import test, { type TestContext } from 'node:test'
import { openScreen, type Screen, type ScreenOptions, type ScreenPorts } from '#agent/station/screen/open-screen.ts'
import { WatchedLine } from './watched-line.ts'

/** A terminal or a pipe that keeps what is written. */
class Output extends EventEmitter {
  isTTY: boolean
  columns = 80
  rows = 24
  text = ''
  constructor(isTTY: boolean) {
    super()
    this.isTTY = isTTY
  }
  write(text: string): boolean {
    this.text += text
    return true
  }
}

async function open(t: TestContext, options: Partial<ScreenOptions>, isTTY = false, colour = true) {
  const line = new WatchedLine()
  const [output, errors] = [new Output(isTTY), new Output(false)]
  const ports = { output, errors, colour, clock: line.clock, timers: line.timers } as unknown as ScreenPorts
  const screen: Screen = await openScreen(line, { json: false, ...options }, ports)
  t.after(() => screen.close())
  return { line, screen, output, errors }
}

const documents = (text: string): Record<string, unknown>[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

test('--json: one line each event, with all its fields, and one whenever the counts change', async (t) => {
  const { line, output } = await open(t, { json: true })
  line.tell('a', 'opened')
  line.tell('a', 'writing', { progress: 0.5 })
  line.counted = { ...line.counted, failed: 1, planned: undefined }
  line.tell('a', 'failed', { code: 'disk-full', detail: 'Full\u001b[2J.', mend: 'Take another.' })
  await line.pass(300)
  const base = { event: 'unit', at: '2026-06-01T12:00:00.000Z', serial: 'a', name: 'pi-a', way: 'image' }
  const none = { progress: null, code: null, detail: null, mend: null }
  const counts = {
    event: 'count',
    station: 'line-7',
    delivered: 0,
    scrapped: 0,
    quotaLeft: 1_000,
    until: '2026-12-31T00:00:00.000Z',
    unsynced: 0,
  }
  assert.deepEqual(documents(output.text), [
    { ...counts, at: base.at, planned: 100, failed: 0 },
    { ...base, ...none, step: 'opened' },
    { ...base, ...none, step: 'writing', progress: 0.5 },
    { ...base, ...none, step: 'failed', code: 'disk-full', detail: 'Full\u001b[2J.', mend: 'Take another.' },
    { ...counts, at: '2026-06-01T12:00:00.250Z', planned: null, failed: 1 },
  ])
  assert.ok(!output.text.includes('\u001b'), 'JSON escapes what a terminal would obey')
})

test('without a terminal: plain lines, no progress, nothing that a terminal would obey', async (t) => {
  const { line, output } = await open(t, {})
  line.tell('a', 'writing', { progress: 0 })
  line.tell('a', 'writing', { progress: 0.5 })
  line.tell('a', 'failed', { code: 'disk-full', detail: 'No\u001b[2J room.', mend: 'Take another.' })
  assert.equal(
    output.text,
    '12:00:00 writing   a pi-a\n12:00:00 failed    a pi-a: No\\u{1b}[2J room. Take another. (disk-full)\n',
  )
})

test('on a terminal: drawn at once, again a quarter of a second after a change, by the second while nothing happens', async (t) => {
  const { line, output } = await open(t, { bell: true }, true)
  assert.match(output.text, /waiting for a unit/)
  line.tell('a', 'opened')
  await line.pass(100)
  assert.doesNotMatch(output.text, />opened</)
  await line.pass(150)
  assert.match(output.text, />opened</)
  output.text = ''
  await line.pass(1_000)
  // The age alone has changed: one line of text.
  assert.equal(output.text.split('\u001b[K').length, 2)
  assert.ok(!output.text.includes('\u0007'))
  line.tell('a', 'failed')
  assert.ok(output.text.includes('\u0007'), 'the bell rings at a failure')
  await line.pass(300)
  assert.ok(output.text.includes('\u001b[37;41m FAIL'))
})

test('without colour a terminal is redrawn all the same', async (t) => {
  const { line, output } = await open(t, {}, true, false)
  line.tell('a', 'failed')
  await line.pass(300)
  assert.ok(output.text.includes('!!! FAIL') && !output.text.includes('\u001b[37;41m'))
})

test('a terminal of another size is drawn anew, and is given back at the end; nothing is left running', async (t) => {
  const { line, screen, output } = await open(t, {}, true)
  output.text = ''
  output.columns = 30
  output.emit('resize')
  assert.ok(output.text.startsWith('\u001b[2J') && output.text.includes('waiting'))
  await screen.close()
  assert.ok(output.text.endsWith('\u001b[?1049l'))
  assert.deepEqual([line.listening, line.waiting, output.listenerCount('resize')], [0, 0, 0])
  line.tell('a', 'opened')
  await line.pass(2_000)
  assert.ok(output.text.endsWith('\u001b[?1049l'))
})

test('a ledger that cannot be counted costs the screen nothing but news', async (t) => {
  const { line, output } = await open(t, {}, true)
  line.count = async () => {
    throw new Error('the disk is gone')
  }
  line.tell('a', 'delivered')
  await line.pass(10_000)
  assert.match(output.text, /PASS/)
})

test('a page that cannot be ends it, and leaves nothing behind', async () => {
  const line = new WatchedLine()
  const output = new Output(true)
  const ports = {
    output,
    errors: new Output(false),
    colour: true,
    clock: line.clock,
    timers: line.timers,
  } as unknown as ScreenPorts
  for (const page of ['nowhere', '99999', '192.0.2.1:0'])
    await assert.rejects(openScreen(line, { json: false, page }, ports), { code: 'usage' })
  assert.deepEqual([line.listening, line.waiting], [0, 0])
})
