import { readFileSync, statSync } from 'node:fs'
import { type WallTime, wallTime } from '#shared/time/instant.ts'

const manifest = new URL('../package.json', import.meta.url)

/** The release. `make build` writes both into the bundle; a checkout reads them from its manifest. */
export const version: string =
  process.env.ADIT_VERSION ?? (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version

/** When this program was built: no true clock is earlier (DESIGN D5). */
export const buildTime: WallTime = wallTime(Number(process.env.ADIT_BUILD_TIME ?? Math.floor(statSync(manifest).mtimeMs)))
