import { type Link, link } from '#broker/api/why-link.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'

/** What copies of the device that are about do to it; nothing where none are known. */
export async function cloneLinks(device: Principal, clones: Registry['clones']): Promise<Link[]> {
  const held = (await clones.of(device.id)).filter(({ state }) => state === 'held')
  if (clones.contestOf(device.id) !== undefined)
    return [
      link(
        'clone-contest',
        false,
        `Two machines have the keys of ${device.name}; the one that is kept has not come for fresh ones yet.`,
        `Switch it on where it can reach the API; if the wrong one is held: adit-broker clones dismiss ${held[0]?.id ?? 'COPY'}`,
      ),
    ]
  if (held.length === 0) return []
  const text = `${held.length === 1 ? 'A copy' : `${held.length} copies`} of ${device.name} ${held.length === 1 ? 'is' : 'are'} held apart; it has keys of its own now.`
  return [{ code: 'clone-held', state: 'warn', text, mend: 'Decide about it: adit-broker clones list' }]
}
