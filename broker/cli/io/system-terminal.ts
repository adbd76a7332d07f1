import { homedir } from 'node:os'
import { buffer } from 'node:stream/consumers'
import type { Terminal } from '../terminal.ts'

/** This process's own terminal. */
export const systemTerminal: Terminal = {
  out: (said) => {
    process.stdout.write(said)
  },
  err: (said) => {
    process.stderr.write(said)
  },
  input: () => buffer(process.stdin),
  env: process.env,
  home: homedir(),
  isRoot: process.geteuid?.() === 0,
}
