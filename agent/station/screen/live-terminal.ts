/** Writes to a terminal. */
export type TerminalWriter = (text: string) => void

/** Another screen, so that what stood there comes back; no cursor; no line wrapped that a wide letter makes too long. */
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J'
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l'

/** A terminal whose lines are redrawn where they change, and nowhere else: over a slow line nothing flickers. */
export class LiveTerminal {
  readonly #write: TerminalWriter
  #shown: readonly string[] = []
  #open = false

  constructor(write: TerminalWriter) {
    this.#write = write
  }

  draw(lines: readonly string[]): void {
    let out = ''
    if (!this.#open) {
      this.#open = true
      out += enter
    }
    for (let row = 0; row < Math.max(lines.length, this.#shown.length); row++) {
      const line = lines[row] ?? ''
      if (line !== (this.#shown[row] ?? '')) out += `\u001b[${row + 1};1H${line}\u001b[K`
    }
    this.#shown = [...lines]
    if (out !== '') this.#write(out)
  }

  /** The terminal has another size: everything is drawn anew. */
  forget(): void {
    this.#shown = []
    if (this.#open) this.#write('\u001b[2J')
  }

  /** The first of several calls gives the terminal back. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#write(leave)
  }
}
