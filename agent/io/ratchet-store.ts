import { freshRatchet, type RatchetState, ratchetFromText, ratchetToText } from '#shared/enrolment/ratchet.ts'
import { readSecret, removeDurably } from '#shared/platform/files.ts'
import { quarantine } from './quarantine.ts'
import { backupOf, readEitherCopy, writeBothCopies } from './two-copies.ts'

/** What STATE/ratchet holds. */
export interface StoredRatchet {
  readonly state: RatchetState
  /** As which copy the broker holds us apart. */
  readonly clone?: number | undefined
}

/** The ratchet's file and its copy. Either of them alone is a state that the broker takes: the copy is one write behind at most. */
export class RatchetStore {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** One that is damaged beyond its copy counts as lost: the broker knows the board. */
  async read(random: (length: number) => Uint8Array): Promise<StoredRatchet> {
    try {
      return (await readEitherCopy(this.#path, readSecret, parse)) ?? { state: freshRatchet(random) }
    } catch {
      await quarantine(this.#path).catch(() => undefined)
      return { state: freshRatchet(random) }
    }
  }

  /** Durable before it resolves. */
  write({ state, clone }: StoredRatchet): Promise<void> {
    return writeBothCopies(this.#path, clone === undefined ? ratchetToText(state) : `${ratchetToText(state)}${clone}\n`)
  }

  /** Of an identity that is no more. */
  async remove(): Promise<void> {
    await removeDurably(this.#path)
    await removeDurably(backupOf(this.#path))
  }
}

/** The ratchet's line, and the copy's number on another. */
function parse(bytes: Uint8Array): StoredRatchet {
  const [first = '', second = ''] = Buffer.from(bytes).toString('utf8').split('\n')
  if (second !== '' && !/^\d{1,15}$/.test(second)) throw new TypeError('not a number of a copy')
  return { state: ratchetFromText(first), clone: second === '' ? undefined : Number(second) }
}
