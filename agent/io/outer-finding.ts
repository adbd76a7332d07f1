/** What stands between us and the broker, as far as the outer ways have met it. */
export interface Finding {
  readonly code: FindingCode
  /** One sentence of cause, one of mend. */
  readonly text: string
  readonly mend: string
  /** Wall clock, ms since 1970: when it was seen last. */
  readonly at: number
}

/**
 *   portal          a captive portal answers in the broker's place
 *   tls-inspected   somebody on the way opens the TLS of our stream
 *   proxy-auth      the proxy wants a user and password, or others
 *   proxy-refused   the proxy does not lead to the broker
 *   stream-refused  a server answers there, and takes no WebSocket
 */
export type FindingCode = 'portal' | 'tls-inspected' | 'proxy-auth' | 'proxy-refused' | 'stream-refused'

/** What is so now: one finding of a kind, the newest. */
export class Findings {
  readonly #found = new Map<FindingCode, Finding>()
  readonly #onNew: (finding: Finding) => void

  /** `onNew`: one came that did not hold, or said something else, before. */
  constructor(onNew: (finding: Finding) => void) {
    this.#onNew = onNew
  }

  get list(): readonly Finding[] {
    return [...this.#found.values()]
  }

  has(code: FindingCode): boolean {
    return this.#found.has(code)
  }

  report(finding: Finding): void {
    const before = this.#found.get(finding.code)
    this.#found.set(finding.code, finding)
    if (before?.text !== finding.text) this.#onNew(finding)
  }

  clear(...codes: readonly FindingCode[]): void {
    for (const code of codes) this.#found.delete(code)
  }
}
