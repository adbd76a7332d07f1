import { toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { AgentRecord, StateFolder } from './state-folder.ts'

/** What an agent remembers of its broker: saved in the background, one write after the other; a disk that refuses costs only the memory. */
export class RecordKeeper {
  readonly #folder: StateFolder
  readonly #log: Log
  #record: AgentRecord
  #saving: Promise<void> = Promise.resolve()

  constructor(record: AgentRecord, folder: StateFolder, log: Log) {
    this.#record = record
    this.#folder = folder
    this.#log = log
  }

  get record(): AgentRecord {
    return this.#record
  }

  remember(change: Partial<AgentRecord>): void {
    const before = JSON.stringify(this.#record)
    this.#record = { ...this.#record, ...change }
    if (JSON.stringify(this.#record) === before) return
    const record = this.#record
    this.#saving = this.#saving
      .then(() => this.#folder.saveRecord(record))
      .catch((error) => this.#log.warn({ code: toAditError(error).code }, 'the state folder cannot be written'))
  }

  /** Everything so far is on disk, or has been given up. */
  saved(): Promise<void> {
    return this.#saving
  }
}
