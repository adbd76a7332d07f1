import assert from 'node:assert/strict'
import test from 'node:test'
import { type ConsoleFrame, decodeFrame, encodeFrame, FrameReader, payloadLimit } from '#shared/enrolment/console-frame.ts'
import { ConsoleLink } from '#shared/enrolment/console-link.ts'
import { AditError } from '#shared/errors.ts'
import fc from '#test/lab/properties.ts'

const frame: ConsoleFrame = { session: 0xa1b2c3d4, from: 'S', kind: 'D', seq: 7, more: true, payload: Buffer.from('some bytes') }
const line = '@A1.a1b2c3d4.S.D.0007.1.c29tZSBieXRlcw.d00dd065'

/** Bytes in both directions over a console that does what `spoil` says, and time that passes when nothing else does. */
class Console {
  readonly station: ConsoleLink
  readonly board: ConsoleLink
  readonly #queue: (() => void)[] = []
  #timers: { at: number; callback: () => void }[] = []
  #now = 0
  written = 0

  constructor(spoil: (text: string) => Uint8Array = (text) => Buffer.from(text)) {
    const timers = {
      setTimer: (delay: number, callback: () => void) => {
        const timer = { at: this.#now + delay, callback }
        this.#timers.push(timer)
        const clear = (): void => {
          this.#timers = this.#timers.filter((other) => other !== timer)
        }
        return { clear }
      },
    }
    const to = (end: () => ConsoleLink) => (text: string) => {
      this.written += 1
      this.#queue.push(() => end().receive(spoil(text)))
    }
    this.station = new ConsoleLink('station', { timers, write: to(() => this.board) })
    this.board = new ConsoleLink('board', { timers, write: to(() => this.station) })
  }

  /** Runs until `work` has ended. */
  async run<T>(work: Promise<T>): Promise<T> {
    let over = false
    const ended = work.finally(() => {
      over = true
    })
    ended.catch(() => {})
    while (!over) {
      await new Promise((resolve) => setImmediate(resolve))
      const next = this.#queue.shift()
      if (next) next()
      else if (!over) {
        const timer = this.#timers.sort((a, b) => a.at - b.at).shift()
        if (timer) {
          this.#now = timer.at
          timer.callback()
        }
      }
    }
    return ended
  }
}

test('a frame is a line of text, and is found at the end of one', () => {
  assert.equal(encodeFrame(frame), `\r\n${line}\r\n`)
  assert.deepEqual(decodeFrame(line), { ...frame, payload: new Uint8Array(frame.payload) })
  assert.deepEqual(decodeFrame(`[    3.1] usb 1-1: new device${line} `), decodeFrame(line))
})

test('a damaged frame is no frame: cut anywhere, or with any character changed', () => {
  for (let at = 0; at < line.length; at++) {
    assert.equal(decodeFrame(line.slice(0, at)), undefined)
    const other = line[at] === '0' ? '1' : '0'
    assert.equal(decodeFrame(line.slice(0, at) + other + line.slice(at + 1)), undefined, `at ${at}`)
  }
  const long = encodeFrame({ ...frame, payload: new Uint8Array(payloadLimit + 1) })
  assert.equal(decodeFrame(long.trim()), undefined)
  assert.ok(encodeFrame({ ...frame, payload: new Uint8Array(payloadLimit) }).length <= 255)
})

test('frames are found whatever stands around them, in pieces of any size', () => {
  const garbage = fc.uint8Array({ maxLength: 200 }).map((bytes) => bytes.map((byte) => (byte === 0x40 ? 0x41 : byte)))
  fc.assert(
    fc.property(fc.array(garbage, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 50 }), (pieces, size) => {
      const stream = Buffer.concat(pieces.flatMap((piece) => [piece, Buffer.from(encodeFrame(frame), 'latin1')]))
      const reader = new FrameReader()
      let found = 0
      for (let at = 0; at < stream.length; at += size)
        for (const seen of reader.read(stream.subarray(at, at + size))) found += seen.seq === 7 ? 1 : 0
      assert.equal(found, pieces.length)
    }),
    { seed: 3, numRuns: 60 },
  )
  const endless = new FrameReader()
  for (let n = 0; n < 1000; n++) assert.deepEqual(endless.read(Buffer.alloc(5000, 'x')), [])
})

test('messages of any length go both ways, each once', async () => {
  const console = new Console()
  const [toBoard, toStation]: Buffer[][] = [[], []]
  console.board.onMessage = (message) => toBoard!.push(Buffer.from(message))
  console.station.onMessage = (message) => toStation!.push(Buffer.from(message))
  await console.run(console.station.hello(77))
  const sent = [0, 1, payloadLimit, payloadLimit + 1, 5000].map((length) => Buffer.alloc(length, length % 251))
  for (const message of sent) {
    await console.run(console.station.send(message))
    await console.run(console.board.send(message))
  }
  assert.deepEqual(toBoard, sent)
  assert.deepEqual(toStation, sent)
})

test('lost, spoilt, doubled and echoed bytes cost time and nothing else', async () => {
  for (let seed = 1; seed <= 25; seed++) {
    let random = seed * 7919
    const next = (limit: number): number => {
      random = (Math.imul(random, 1103515245) + 12345) & 0x7fff_ffff
      return (random >> 8) % limit
    }
    const console = new Console((text) => {
      const bytes = Buffer.from(text, 'latin1')
      const fate = next(10)
      if (fate === 0) return Buffer.alloc(0)
      if (fate === 1) bytes[next(bytes.length)]! ^= 1 << next(8)
      if (fate === 2) return Buffer.concat([bytes.subarray(0, next(bytes.length)), bytes.subarray(next(bytes.length))])
      if (fate === 3) return Buffer.concat([bytes, Buffer.from('[  12.3] a kernel message\n'), bytes])
      return bytes
    })
    const got: string[] = []
    console.board.onMessage = (message) => got.push(Buffer.from(message).toString())
    console.station.onMessage = (message) => got.push(Buffer.from(message).toString())
    await console.run(console.station.hello(seed))
    const texts = ['first', 'x'.repeat(900), 'third']
    for (const text of texts) {
      await console.run(console.station.send(Buffer.from(text)))
      await console.run(console.board.send(Buffer.from(`answer to ${text}`)))
    }
    assert.deepEqual(
      got,
      texts.flatMap((text) => [text, `answer to ${text}`]),
      `seed ${seed}`,
    )
  }
})

test('a new session begins anew, whatever the old one was about; an end does not hear its own echo', async () => {
  const console = new Console()
  const got: string[] = []
  console.board.onMessage = (message) => got.push(Buffer.from(message).toString())
  await console.run(console.station.hello(1))
  await console.run(console.station.send(Buffer.from('one')))
  console.station.send(Buffer.alloc(1000)).catch(() => {})
  const torn = console.board.send(Buffer.from('never taken')).catch((error) => error)
  await console.run(console.station.hello(2))
  assert.ok((await torn) instanceof AditError)
  await console.run(console.station.send(Buffer.from('two')))
  assert.deepEqual(got, ['one', 'two'])

  const alone = new ConsoleLink('station', {
    timers: { setTimer: () => ({ clear() {} }) },
    write: (text) => alone.receive(Buffer.from(text)),
  })
  alone.onMessage = () => assert.fail('its own echo')
  alone.hello(3).catch(() => {})
  assert.equal(alone.heard, 0)
})

test('a cable that is pulled ends a message after twelve tries', async () => {
  const console = new Console(() => Buffer.alloc(0))
  await assert.rejects(console.run(console.station.hello(1)), (error) => error instanceof AditError && error.code === 'line-lost')
  assert.equal(console.written, 12)
})
