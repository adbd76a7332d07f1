import type { Extent } from '#broker/admin/office.ts'
import { printable } from '#shared/terminal/printable.ts'

/**
 * What a person must know before they carry a claim or a peer's configuration out of the house: that the address in it is this machine's
 * own, since none is configured, and leads nowhere outside. Empty where it is good anywhere.
 */
export function extentNote(extent: Extent, place: string | undefined, key: 'public-api' | 'public-endpoints'): string {
  if (extent === 'anywhere' || place === undefined) return ''
  const whom = extent === 'machine' ? 'only this machine reaches' : 'only its own network reaches'
  return `${printable(`It names ${place}, which ${whom}. For others, set ${key} in config.toml and make it again.`)}\n`
}
