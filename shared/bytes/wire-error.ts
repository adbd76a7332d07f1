/** The bytes broke the rule that `code` names. A stranger's bytes may cause it; callers count it and drop the message. */
export class WireError extends Error {
  override readonly name = 'WireError'
  /** Stable, short: 'short', 'trailing', or a rule of the format at hand. */
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}
