import { refused, type Statement, subjectOf } from './statement.ts'

/** Subjects whose versions are remembered. All were signed, so nobody but the administrator can push others out. */
const versionLimit = 8_192

/** Numbers by name, as they are kept between two runs. */
type Versions = Readonly<Record<string, number>>

/** What was seen before of what the administrator signs, so that no version goes back; and what whoever hands out our set has left out. */
export class StatementMemory {
  readonly #versions = new Map<string, number>()
  readonly #closed = new Map<string, number>()

  constructor(record: { versions?: Versions; closed?: Versions } = {}) {
    for (const [subject, version] of Object.entries(record.versions ?? {})) this.#versions.set(subject, version)
    for (const [name, version] of Object.entries(record.closed ?? {})) this.#closed.set(name, version)
  }

  get record(): { versions: Versions; closed: Versions } {
    return { versions: Object.fromEntries(this.#versions), closed: Object.fromEntries(this.#closed) }
  }

  /** Other keys count from now on, which those before have not handed over to: each counts its versions for itself. */
  forget(): void {
    this.#versions.clear()
    this.#closed.clear()
  }

  /** Throws AditError `statement-refused` for one that is older than another of its subject. */
  see(statement: Statement): void {
    const subject = subjectOf(statement)
    const seen = this.#versions.get(subject) ?? 0
    if (statement.version < seen)
      throw refused(`it is older than one of ${subject} that was seen before (${statement.version} after ${seen})`)
    bounded(this.#versions, subject, statement.version)
  }

  /** Closed without a signature, until it is handed out again. */
  close(name: string, version: number): void {
    bounded(this.#closed, name, version)
  }

  reopen(name: string): void {
    this.#closed.delete(name)
  }

  /** Throws AditError `statement-refused` where it, or a later one, has been closed. */
  requireOpen(name: string, { version }: Statement): void {
    if ((this.#closed.get(name) ?? -1) >= version) throw refused(`${name} has been closed`)
  }
}

/** The newest `versionLimit` entries. */
function bounded(map: Map<string, number>, name: string, version: number): void {
  map.delete(name)
  map.set(name, version)
  if (map.size > versionLimit) map.delete(map.keys().next().value as string)
}
