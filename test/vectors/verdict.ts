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

  /** Passes where `complaint` is undefined and fails with it otherwise; a thrown error is a complaint too. */
  settle(file: string, id: string | number, judgement: () => string | undefined): void {
    let complaint: string | undefined
    try {
      complaint = judgement()
    } catch (error) {
      complaint = `threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`
    }
    if (complaint === undefined) this.pass()
    else this.fail(file, id, complaint)
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
