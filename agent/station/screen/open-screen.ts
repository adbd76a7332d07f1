import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { backgroundTimers, type Timers } from '#shared/platform/timers.ts'
import { printable } from '#shared/terminal/printable.ts'
import type { Clock } from '#shared/time/instant.ts'
import { LineWatch, type WatchedDesk } from './line-watch.ts'
import { countJson, eventJson, eventLine } from './line-words.ts'
import { LiveTerminal } from './live-terminal.ts'
import { parsePagePlace } from './page/page-place.ts'
import { drawTerminal } from './terminal-view.ts'

export interface ScreenOptions {
  /** `PORT` or `ADDR:PORT` of a page for a tablet. */
  readonly page?: string | undefined
  /** JSON lines on standard output, for a MES. */
  readonly json: boolean
  /** Nothing on standard output; the page alone. */
  readonly quiet?: boolean | undefined
  /** The terminal rings when a unit fails. */
  readonly bell?: boolean | undefined
}

/** The machine's side of a screen. */
export interface ScreenPorts {
  readonly output: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'rows' | 'write' | 'on' | 'off'>
  /** For words that are no part of the output. */
  readonly errors: Pick<NodeJS.WriteStream, 'write'>
  readonly colour: boolean
  readonly clock: Clock
  readonly timers: Timers
}

export interface Screen {
  /** Of the page, good for one visit; undefined where there is none. */
  readonly url: string | undefined
  close(): Promise<void>
}

const machine = (): ScreenPorts => ({
  output: process.stdout,
  errors: process.stderr,
  colour: !process.env.NO_COLOR && process.env.TERM !== 'dumb',
  clock: systemClock,
  timers: backgroundTimers,
})

/** Shows a line to whoever works at it. Throws AditError `usage` or `port-in-use` for a page that cannot be. */
export async function openScreen(desk: WatchedDesk, options: ScreenOptions, ports: ScreenPorts = machine()): Promise<Screen> {
  const place = options.page === undefined ? undefined : parsePagePlace(options.page)
  const watch = await LineWatch.open(desk, ports.clock, ports.timers)
  let page: { readonly url: string; close(): Promise<void> } | undefined
  const face = options.quiet
    ? silent
    : options.json
      ? jsonFace(watch, ports)
      : terminalFace(watch, ports, options, () => page?.url)
  try {
    if (place !== undefined) {
      const { PageServer } = await import('./io/page-server.ts')
      page = await PageServer.open({ ...place, watch, suite: nativeSuite, onUrl: face.url })
      face.url(page.url)
    }
  } catch (error) {
    watch.close()
    face.close()
    throw error
  }
  return {
    get url() {
      return page?.url
    },
    async close() {
      face.close()
      await page?.close()
      watch.close()
    },
  }
}

/** What is on one screen. */
interface Face {
  url(url: string): void
  close(): void
}

const silent: Face = { url: () => {}, close: () => {} }

function jsonFace(watch: LineWatch, { output, clock }: ScreenPorts): Face {
  const say = (line: string): void => void output.write(`${line}\n`)
  say(countJson(watch.count, clock.wall()))
  const unlisten = watch.listen({
    event: (event) => say(eventJson(event)),
    count: (count) => say(countJson(count, clock.wall())),
  })
  return { url: (url) => say(JSON.stringify({ event: 'page', url })), close: unlisten }
}

function terminalFace(watch: LineWatch, ports: ScreenPorts, { bell }: ScreenOptions, url: () => string | undefined): Face {
  return ports.output.isTTY && process.env.TERM !== 'dumb' ? liveFace(watch, ports, bell === true, url) : plainFace(watch, ports)
}

function plainFace(watch: LineWatch, { output, errors }: ScreenPorts): Face {
  const unlisten = watch.listen({
    event(event) {
      const line = eventLine(event)
      if (line !== undefined) output.write(`${line}\n`)
    },
  })
  return { url: (url) => void errors.write(`page for a tablet, once: ${printable(url)}\n`), close: unlisten }
}

function liveFace(watch: LineWatch, { output, colour }: ScreenPorts, bell: boolean, url: () => string | undefined): Face {
  const terminal = new LiveTerminal((text) => void output.write(text))
  const draw = (): void => {
    const size = { columns: output.columns || 80, rows: output.rows || 24 }
    terminal.draw(drawTerminal(watch.view, size, colour, url()))
  }
  const redraw = (): void => {
    terminal.forget()
    draw()
  }
  const giveBack = (): void => terminal.close()
  output.on('resize', redraw)
  // However the program ends, the terminal is given back.
  process.once('exit', giveBack)
  const unlisten = watch.listen({
    view: draw,
    event: ({ step }) => {
      if (bell && step === 'failed') output.write('\u0007')
    },
  })
  draw()
  return {
    url: draw,
    close() {
      unlisten()
      output.off('resize', redraw)
      process.off('exit', giveBack)
      terminal.close()
    },
  }
}
