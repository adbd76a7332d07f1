import { homedir } from 'node:os'
import type { Terminal } from '../terminal.ts'

/** This process's own terminal. */
export const systemTerminal: Terminal = {
  out: (text) => {
    process.stdout.write(text)
  },
  err: (text) => {
    process.stderr.write(text)
  },
  env: process.env,
  home: homedir(),
  isRoot: process.geteuid?.() === 0,
}
