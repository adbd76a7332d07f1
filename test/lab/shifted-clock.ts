import { join } from 'node:path'

/** The environment of a program whose wall clock says `ms` (since 1970) as it starts. */
export const clockAt = (ms: number): Record<string, string> => ({
  NODE_OPTIONS: `--import=${join(import.meta.dirname, 'shifted-clock.mjs')}`,
  ADIT_TEST_WALL: String(ms),
})
