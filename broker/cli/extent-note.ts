import type { Extent } from '#broker/admin/office.ts'
import { printable } from '#shared/terminal/printable.ts'

/**
 * What a person must know before they carry a claim or a peer's configuration out of the house: that the address in it is this machine's
 * own, since none is configured, and leads nowhere outside. `mend`: what helps whoever is outside. Empty where it is good anywhere.
 */
export function extentNote(extent: Extent, place: string | undefined, mend: string): string {
  if (extent === 'anywhere' || place === undefined) return ''
  return `${printable(`Only this machine${extent === 'machine' ? '' : "'s own network"} reaches ${place}. For others, ${mend}`)}\n`
}
