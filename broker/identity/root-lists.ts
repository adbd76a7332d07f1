import type { CaFiles, CaFolder } from '#broker/identity/ca-files.ts'
import { fallenCas, isListDue, readListAnswer, requestRootList, signRootList } from '#broker/identity/root-list.ts'
import { presentRoot } from '#broker/identity/succession.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { Clock } from '#shared/time/instant.ts'

interface RootListsParts {
  readonly folder: CaFolder
  readonly suite: Suite
  readonly clock: Clock
  files(): CaFiles
}

/** The lists of revoked CAs of the fleet's roots, on disk: signed here where a root's key is, else where that was taken to. */
export class RootLists {
  readonly #parts: RootListsParts

  constructor(parts: RootListsParts) {
    this.#parts = parts
  }

  /** Signs those that are due of the roots whose keys are here; `all`: those that are not due too. */
  async renew({ all = false } = {}): Promise<void> {
    const { folder, suite, clock } = this.#parts
    const files = this.#parts.files()
    for (const [stem, certificate] of files.roots) {
      const list = files.lists.get(stem)
      const fallen = fallenCas(files, certificate, suite)
      if (!all && !isListDue(list, fallen, clock.wall())) continue
      const pair = await folder.key(stem)
      if (pair === undefined) continue
      await folder.writeList(stem, signRootList({ certificate, pair }, fallen, list?.number ?? 0, clock.wall(), suite))
    }
  }

  /** What the present root's holder is to sign: PEM. */
  request(): string {
    const { root, fallen } = this.#present()
    return requestRootList(root, fallen)
  }

  /** Throws AditError `request-refused`. */
  async install(answer: string): Promise<void> {
    const { stem, root, before, fallen } = this.#present()
    try {
      const list = readListAnswer(answer, { root, before, fallen, now: this.#parts.clock.wall() })
      await this.#parts.folder.writeList(stem, list.der)
    } catch (error) {
      if (!(error instanceof PkiError)) throw error
      const mend = 'Sign the request that this broker made last, with its own root: adit-broker ca request --role crl'
      throw new AditError('request-refused', `The answer is not taken: ${error.message}.`, mend)
    }
  }

  #present() {
    const files = this.#parts.files()
    const stem = presentRoot(files.succession)
    const root = files.roots.get(stem)!
    return { stem, root, before: files.lists.get(stem), fallen: fallenCas(files, root, this.#parts.suite) }
  }
}
