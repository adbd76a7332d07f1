/** What a kind of vectors must offer: one file of this folder per kind, named like the kind. */
export interface VectorKind {
  /**
   * True where a file is of this kind; asked while a folder is walked, so that stray files (licences, captures) are passed over.
   * `contents` is the parsed JSON of a `.json` file and the raw bytes of any other.
   */
  recognises(path: string, contents: unknown): boolean
  /** Judges every case of one file. Throws BrokenFormat where the file is not what it claims to be. */
  judge(path: string, contents: unknown, verdicts: Verdicts): void | Promise<void>
}

/** undefined: reproduced; a string: the complaint; `skip`: outside our algorithms or profile, for this reason. */
export type Judgement = undefined | string | { readonly skip: string }

/** A kind whose files come in several formats, told apart by their fields; the first that recognises a file judges it. `what`: for the sentence where none does. */
export const oneOf = (what: string, formats: readonly VectorKind[]): VectorKind => ({
  recognises: (path, contents) => formats.some((format) => format.recognises(path, contents)),
  async judge(path, contents, verdicts) {
    const format = formats.find((candidate) => candidate.recognises(path, contents))
    if (format === undefined) throw new BrokenFormat(`${path} is in no format of ${what} vectors that is known here`)
    await format.judge(path, contents, verdicts)
  },
})

/** The file cannot be read as vectors of the kind asked for; the run ends with this sentence. */
export class BrokenFormat extends Error {
  override readonly name = 'BrokenFormat'
}

export interface Failure {
  file: string
  /** The vector's own name or number inside its file. */
  id: string
  why: string
}

/**
 * Counts what was judged. A case is passed only when all that it states was reproduced (with both crypto providers where
 * cryptography is concerned); a case outside our algorithms or profile is skipped with its reason, never passed.
 */
export class Verdicts {
  passed = 0
  readonly failures: Failure[] = []
  /** Reason to number of cases, in the order of first sight. */
  readonly skips = new Map<string, number>()

  pass(): void {
    this.passed++
  }

  fail(file: string, id: string | number, why: string): void {
    this.failures.push({ file, id: String(id), why })
  }

  /** `reason` without names or numbers of single cases, so that equal reasons add up. */
  skip(reason: string, cases = 1): void {
    this.skips.set(reason, (this.skips.get(reason) ?? 0) + cases)
  }

  /** Counts the judgement; a thrown error is a complaint too. */
  settle(file: string, id: string | number, judge: () => Judgement): void {
    let judgement: Judgement
    try {
      judgement = judge()
    } catch (error) {
      judgement = `threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`
    }
    if (judgement === undefined) this.pass()
    else if (typeof judgement === 'string') this.fail(file, id, judgement)
    else this.skip(judgement.skip)
  }

  get failed(): number {
    return this.failures.length
  }

  get skipped(): number {
    let sum = 0
    for (const count of this.skips.values()) sum += count
    return sum
  }

  get judged(): number {
    return this.passed + this.failed + this.skipped
  }

  /** The reasons, the first `listed` failures, and last the line that scripts read. */
  report(listed = 20): string {
    const lines: string[] = []
    for (const [reason, count] of this.skips) lines.push(`skipped ${count}: ${reason}`)
    for (const { file, id, why } of this.failures.slice(0, listed)) lines.push(`FAILED ${file} [${id}]: ${why}`)
    if (this.failed > listed) lines.push(`... and ${this.failed - listed} more failures`)
    lines.push(this.summary())
    return lines.join('\n')
  }

  summary(): string {
    return `${this.passed} passed, ${this.failed} failed, ${this.skipped} skipped`
  }
}
