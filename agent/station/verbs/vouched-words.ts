import type { Vouched } from '#agent/station/io/vouch.ts'
import { printable } from '#shared/terminal/printable.ts'

/** For which devices the station has vouched, and for which not, and why; said only where the fleet has a key. */
export const vouchedWords = ({ signed, refused }: Vouched): string =>
  [
    ...(signed === 0 ? [] : [`Vouched for ${signed} devices.`]),
    ...(refused.length === 0
      ? []
      : [`Not for ${refused.length}, of which the broker says something else than this station's ledger:`]),
    ...refused.map(({ unit, name, why }) => `  ${printable(`${unit ?? 'a board'} (${name})  ${why}`)}`),
  ]
    .map((line) => `${line}\n`)
    .join('')
