import { createInterface } from 'node:readline/promises'
import { requireTerminal } from '#shared/platform/ask-passphrase.ts'
import { printable } from '#shared/terminal/printable.ts'

/** Yes or no on the terminal; everything but a yes is a no. `about`: what it is about, in words that may be a stranger's. */
export async function askYesNo(about: string, question: string): Promise<boolean> {
  requireTerminal('--yes')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await terminal.question(`${printable(about)}\n${question} [y/N] `)).trim())
  } finally {
    terminal.close()
  }
}
