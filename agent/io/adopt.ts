import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { bundleFile, decodeBundle, type UnitBundle } from '#shared/enrolment/unit-bundle.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { eraseDurably, isLeftOver } from '#shared/platform/erase-file.ts'
import { readIfPresent } from '#shared/platform/files.ts'
import { isCpuSerial } from './board-serial.ts'
import { identityKeyFromPem } from './identity-key.ts'
import type { StateFolder } from './state-folder.ts'
import { certifiedKey, checkGiven, takeIdentity } from './take-identity.ts'

export interface AdoptOptions {
  /** The folder where the boot partition is mounted. */
  readonly from: string
  readonly folder: StateFolder
  readonly suite: Suite
  /** What the board itself tells. */
  readonly board: string | undefined
}

/** `taken`: it is ours now; `erased`: it was ours already, and what a power cut had left of it is gone; `none`: there was no bundle. */
export type Adoption = { outcome: 'taken' | 'erased'; name: string | undefined } | { outcome: 'none' }

/** Where boot partitions are mounted: Raspberry Pi OS since bookworm, and before. */
export const bootFolders = ['/boot/firmware', '/boot'] as const

/** The first of them that has a bundle, else the first that there is. */
export const bootFolder = (): string =>
  bootFolders.find((path) => existsSync(join(path, bundleFile))) ?? bootFolders.find((path) => existsSync(path)) ?? bootFolders[0]

/**
 * Moves a unit's bundle from the boot partition, which everybody can read, into the state folder, which nobody else can; then erases it
 * there, content before name.
 *
 *   decode -> is it for this board, and whole? -> keys -> pin, record, root, certificate (the folder is enrolled now) -> erase
 *
 * A power cut before the certificate is there leaves the bundle, from which everything is done again; after it, only the erasing is left to
 * do, whatever of the bundle can still be read. Throws AditError `bundle-damaged`, `serial-mismatch`, `already-enrolled` or
 * `certificate-refused`, with everything as it was.
 */
export async function adopt({ from, folder, suite, board }: AdoptOptions): Promise<Adoption> {
  const path = join(from, bundleFile)
  for (const name of await readdir(from).catch(() => [])) if (isLeftOver(name, bundleFile)) await erase(join(from, name))
  const bytes = await readIfPresent(path)
  if (bytes === undefined) return { outcome: 'none' }
  const mine = await certifiedKey(folder)
  const bundle = decodeOrNone(bytes, suite, mine !== undefined)
  if (bundle === undefined) {
    await erase(path)
    return { outcome: 'erased', name: (await folder.record())?.name }
  }
  const identity = identityKeyFromPem(bundle.identityPem, path, suite).publicKey
  if (mine === undefined) {
    checkBoard(bundle.serial, board)
    checkGiven(bundle, { identity, tunnel: suite.x25519.pair(bundle.tunnelKey).publicKey })
    await folder.putKeys(bundle)
    await takeIdentity(folder, bundle, suite)
  } else if (!equalPublic(mine, p256Spki(identity))) throw anotherIdentity(bundle, folder, path)
  await erase(path)
  return { outcome: mine === undefined ? 'taken' : 'erased', name: bundle.name }
}

/** Undefined for a torn bundle beside an identity that is whole: a power cut came into the erasing. */
function decodeOrNone(bytes: Uint8Array, suite: Suite, enrolled: boolean): UnitBundle | undefined {
  try {
    return decodeBundle(bytes, suite)
  } catch (error) {
    if (enrolled && isAditError(error)) return undefined
    throw error
  } finally {
    bytes.fill(0)
  }
}

/** Only where both are of the kind that a CPU tells; a number from a label stands on no chip. */
function checkBoard(serial: string, board: string | undefined): void {
  if (board === undefined || board === serial || !isCpuSerial(serial) || !isCpuSerial(board)) return
  throw new AditError(
    'serial-mismatch',
    `This card is for the board ${serial}, and this is the board ${board}.`,
    'Put the card into its own board, or let the station provision this one.',
  )
}

async function erase(path: string): Promise<void> {
  try {
    await eraseDurably(path)
  } catch (cause) {
    throw new AditError(
      'storage-failed',
      `The identity is adopted, but ${path} cannot be erased: ${(cause as Error).message}`,
      'Mount the boot partition writable (mount -o remount,rw), then: adit-agent adopt',
      { cause },
    )
  }
}

const anotherIdentity = (bundle: UnitBundle, folder: StateFolder, path: string): AditError =>
  new AditError(
    'already-enrolled',
    `${folder.path} is enrolled already, and ${path} is the identity ${bundle.name} of another unit.`,
    'Delete that file; or, for a new identity, empty the state folder first.',
  )
