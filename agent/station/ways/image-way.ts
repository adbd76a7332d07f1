import type { UnitDesk } from '#agent/station/unit-desk.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { heldHash } from '#shared/enrolment/held-certificate.ts'
import { bundleFile, bundleLimit, decodeBundle, encodeBundle } from '#shared/enrolment/unit-bundle.ts'
import { isAditError } from '#shared/errors.ts'
import type { Clock } from '#shared/time/instant.ts'
import { CardFolder, isFolder, makeOwnFolder } from './card-folder.ts'
import { DiskFile } from './disk-file.ts'
import { cardFault } from './fat/card-fault.ts'
import { findVolume } from './fat/partition-table.ts'
import type { Way } from './way.ts'

export interface ImageWayParts {
  readonly suite: Suite
  readonly clock: Pick<Clock, 'wall'>
}

/** Where a bundle goes: a mounted card, or the FAT file system of a device or image. */
interface Card {
  read(): Promise<Uint8Array | undefined>
  write(bytes: Uint8Array, onProgress: (part: number) => void): Promise<void>
}

/**
 * The unit's bundle into its card: a mounted folder, a block device, or an image file (with a partition table, or a bare FAT file system).
 * `{serial}` in the path stands for the unit's serial number; where it is a folder's whole name, that folder is made. A card that holds another unit's bundle is refused: that unit counts as
 * delivered, and its identity would be gone.
 */
export class ImageWay implements Way {
  readonly kind = 'image'
  readonly #into: string
  readonly #parts: ImageWayParts

  constructor(into: string, parts: ImageWayParts) {
    this.#into = into
    this.#parts = parts
  }

  async deliver(desk: UnitDesk, serial: string): Promise<string> {
    const path = this.#into.replaceAll('{serial}', serial)
    await makeOwnFolder(this.#into, path)
    const bundle = await desk.bundle(serial)
    const bytes = encodeBundle(bundle, this.#parts.suite)
    try {
      desk.step(serial, 'writing', 0)
      await withCard(path, 'write', this.#parts, async (card) => {
        this.#checkFree(await card.read(), serial)
        await card.write(bytes, (part) => desk.step(serial, 'writing', part))
      })
      desk.step(serial, 'verifying')
      const there = await withCard(path, 'read', this.#parts, (card) => card.read())
      if (there === undefined || !equalPublic(there, bytes))
        throw cardFault('does not hold what was written to it', 'Take another card: this one is worn out or a fake.')
      return `${path} holds the bundle of certificate ${heldHash(bundle.chain, this.#parts.suite)}`
    } finally {
      bytes.fill(0)
    }
  }

  async close(): Promise<void> {}

  #checkFree(there: Uint8Array | undefined, serial: string): void {
    if (there === undefined) return
    const other = this.#serialOf(there)
    if (other === undefined || other === serial) return
    throw cardFault(
      `holds the identity of unit ${other}`,
      `Insert the card of this unit; where that one is to be used again, delete ${bundleFile} from it first.`,
    )
  }

  /** Undefined where the file is no whole bundle, as after a power cut. */
  #serialOf(bytes: Uint8Array): string | undefined {
    try {
      return decodeBundle(bytes, this.#parts.suite).serial
    } catch (error) {
      if (isAditError(error)) return undefined
      throw error
    }
  }
}

async function withCard<T>(
  path: string,
  mode: 'read' | 'write',
  { clock }: ImageWayParts,
  work: (card: Card) => Promise<T>,
): Promise<T> {
  if (await isFolder(path)) return work(await CardFolder.open(path))
  const disk = await DiskFile.open(path, mode)
  try {
    const volume = await findVolume(disk)
    return await work({
      read: () => volume.read(bundleFile, bundleLimit),
      write: (bytes, onProgress) => volume.write(bundleFile, bytes, clock.wall(), onProgress),
    })
  } finally {
    await disk.close()
  }
}
