import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readSecret, removeDurably, writeDurably } from '#shared/platform/files.ts'
import { boardFiles } from './board-identity.ts'
import { eraseEntry } from './erase-entry.ts'
import { stateFiles } from './state-folder.ts'
import { backupOf } from './two-copies.ts'

/**
 * Forgets a fleet: what an agent does by an order (`shared/fleet/statement.ts`, kind `wipe`) that it has found good.
 *
 *   erasing     everything goes but what the last word takes: keys, certificate, the broker's whereabouts
 *   reporting   the broker is told, under the identity key, which has nothing else left to do
 *   forgetting  keys, certificate, whereabouts
 *   moving      (a transfer) the claim of the next fleet is to be redeemed
 *
 * STATE/wipe.json has the stage: on disk before the stage begins, and gone when nothing is left to do, so that a power cut at any moment
 * only makes the next start go on.
 */
export interface WipeMarker {
  readonly order: string
  readonly stage: 'erasing' | 'reporting' | 'forgetting' | 'moving'
  /** The claim of the next fleet. */
  readonly next?: string
  /** Files erased before the report, and names of those that could not be. */
  readonly erased: number
  readonly left: readonly string[]
  /** Reports that nobody has answered. */
  readonly tries: number
}

/** What wiping does to the disk: each is durable when it resolves. A test cuts the power between any two. */
export interface WipePort {
  read(path: string): Promise<Uint8Array | undefined>
  write(path: string, data: string): Promise<void>
  /** Names in a folder, not `.` and `..`. */
  list(path: string): Promise<string[]>
  /** A file overwritten and gone; a folder with all in it, or whatever else. */
  erase(path: string): Promise<void>
  remove(path: string): Promise<void>
}

export const wipeMarkerName = 'wipe.json'
/** The folder's lock, which this process holds. */
const lockNames = ['lock.db', 'lock.owner', 'lock.db-journal', 'lock.db-wal', 'lock.db-shm']
/** What its maker gave the board is no fleet's. */
const notOurs: readonly string[] = [...Object.values(boardFiles), ...lockNames]
/** Without these nobody could be told. */
const farewellNames = [
  stateFiles.identityKey,
  stateFiles.identityToken,
  stateFiles.tunnelKey,
  stateFiles.certificate,
  stateFiles.root,
  stateFiles.agent,
  stateFiles.floor,
].flatMap((name) => [name, backupOf(name)])

/** Undefined where no order is being carried out. */
export async function readWipe(state: string, port: WipePort = diskWipe): Promise<WipeMarker | undefined> {
  const bytes = await port.read(join(state, wipeMarkerName))
  if (bytes === undefined) return undefined
  try {
    const marker = JSON.parse(Buffer.from(bytes).toString('utf8')) as WipeMarker
    if (['erasing', 'reporting', 'forgetting', 'moving'].includes(marker.stage)) return marker
  } catch {
    // Fall through.
  }
  // A marker that cannot be read was an order all the same: whoever spoils it must not save the keys.
  return { order: '', stage: 'forgetting', erased: 0, left: [], tries: 0 }
}

/** The order is to be carried out, whatever happens from now on. */
export async function beginWipe(state: string, order: { id: string; next?: string }, port: WipePort = diskWipe): Promise<void> {
  const marker = { order: order.id, stage: 'erasing', erased: 0, left: [], tries: 0, ...(order.next && { next: order.next }) }
  await saveMarker(state, marker as WipeMarker, port)
}

/**
 * Goes on until the keys are gone, or the broker is to be asked again. `report` resolves when the broker has the evidence; where it
 * throws, so does this, and calling again goes on. Returns the claim of the next fleet, where there is one.
 */
export async function carryOutWipe(
  state: string,
  report: (marker: WipeMarker) => Promise<void>,
  port: WipePort = diskWipe,
): Promise<{ next?: string } | undefined> {
  let marker = await readWipe(state, port)
  if (marker === undefined) return undefined
  if (marker.stage === 'erasing') {
    const { gone, left } = await eraseBut(state, [wipeMarkerName, ...farewellNames, ...notOurs], port)
    marker = { ...marker, stage: 'reporting', erased: gone, left }
    await saveMarker(state, marker, port)
  }
  if (marker.stage === 'reporting') {
    await saveMarker(state, { ...marker, tries: marker.tries + 1 }, port)
    await report(marker)
    marker = { ...marker, stage: 'forgetting' }
    await saveMarker(state, marker, port)
  }
  if (marker.stage === 'forgetting') {
    // The key first: from then on nobody is this device any more. The time floor is no fleet's, and a clock of 1970 needs it.
    for (const name of [stateFiles.identityKey, backupOf(stateFiles.identityKey)]) await port.erase(join(state, name))
    const floor = marker.next === undefined ? [] : [stateFiles.floor, backupOf(stateFiles.floor)]
    await eraseBut(state, [wipeMarkerName, ...floor, ...notOurs], port)
    if (marker.next === undefined) await port.remove(join(state, wipeMarkerName))
    else await saveMarker(state, { ...marker, stage: 'moving' }, port)
  }
  return marker.next === undefined ? {} : { next: marker.next }
}

/** Nobody can be told any more: the keys die without a word. */
export async function forgetUnheard(state: string, port: WipePort = diskWipe): Promise<void> {
  const marker = await readWipe(state, port)
  if (marker?.stage === 'reporting') await saveMarker(state, { ...marker, stage: 'forgetting' }, port)
}

/** The device has joined its next fleet. */
export const endWipe = (state: string, port: WipePort = diskWipe): Promise<void> => port.remove(join(state, wipeMarkerName))

const saveMarker = (state: string, marker: WipeMarker, port: WipePort): Promise<void> =>
  port.write(join(state, wipeMarkerName), `${JSON.stringify(marker)}\n`)

/** What cannot be erased is told of, and keeps nothing else. */
async function eraseBut(state: string, kept: readonly string[], port: WipePort): Promise<{ gone: number; left: string[] }> {
  const left: string[] = []
  let gone = 0
  for (const name of (await port.list(state)).sort()) {
    if (kept.includes(name)) continue
    try {
      await port.erase(join(state, name))
      gone++
    } catch (error) {
      if ((error as { isCut?: boolean }).isCut) throw error
      left.push(name)
    }
  }
  return { gone, left }
}

const diskWipe: WipePort = {
  read: readSecret,
  write: (path, data) => writeDurably(path, data),
  list: readdir,
  erase: eraseEntry,
  remove: removeDurably,
}
