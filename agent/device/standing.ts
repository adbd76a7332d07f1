import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { stateFiles } from '#agent/io/state-folder.ts'
import { readWipe } from '#agent/io/wipe.ts'

/**
 * How this device stands with its fleet, as `adit-agent status --json` says it:
 *
 *   member    it belongs to it
 *   held      the broker takes it for a copy of another device (`clone` is the number that a person grants), and lets it do nothing
 *   waiting   its claim waits for a person
 *   wiping    it was ordered (`order`) to forget the fleet, and does so
 */
export interface Standing {
  readonly state: 'member' | 'held' | 'waiting' | 'wiping'
  readonly clone: number | null
  readonly order: string | null
}

export const member: Standing = { state: 'member', clone: null, order: null }

export const heldAs = (clone: number): Standing => ({ ...member, state: 'held', clone })

/** What the folder alone says, also where no agent answers; undefined: nothing but that it is enrolled, or not. */
export async function standingIn(folder: string): Promise<Standing | undefined> {
  const wipe = await readWipe(folder)
  if (wipe !== undefined) return { ...member, state: 'wiping', order: wipe.order || null }
  if (existsSync(join(folder, stateFiles.claim))) return { ...member, state: 'waiting' }
  return undefined
}

/** For a person; undefined: there is nothing to say. */
export function describeStanding({ state, clone, order }: Standing): string | undefined {
  if (state === 'held')
    return `held apart: the broker takes this for a copy of another device. If it is one of its own: adit-broker clones grant ${clone} --name NEW`
  if (state === 'waiting') return 'waits for a person: adit-broker enrolments list'
  if (state === 'wiping') return `about to be wiped${order === null ? '' : ` by order ${order}`}: it forgets its fleet`
  return undefined
}
