import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A disk of its own, a few megabytes of tmpfs, that a test can fill to the last byte and free again. Needs root. */
export class SmallDisk {
  /** Its only folder, private. */
  readonly folder = mkdtempSync(join(tmpdir(), 'adit-disk-'))
  readonly #ballast = join(this.folder, 'ballast')

  constructor(t: Pick<TestContext, 'after'>, megabytes: number) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'none', this.folder])
    t.after(() => {
      // Lazily: a process that the test kills may hold a file for another moment.
      execFileSync('umount', ['--lazy', this.folder])
      rmSync(this.folder, { recursive: true, force: true })
    })
  }

  /** Takes every byte that is left. */
  fill(): void {
    const file = openSync(this.#ballast, 'a')
    try {
      for (let piece = Buffer.alloc(65_536); piece.length > 0; ) {
        try {
          writeSync(file, piece)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
          piece = piece.subarray(0, piece.length >> 1)
        }
      }
    } finally {
      closeSync(file)
    }
  }

  free(): void {
    rmSync(this.#ballast, { force: true })
  }
}
