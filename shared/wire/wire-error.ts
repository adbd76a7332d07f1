/**
 * A stranger's bytes break a rule of their format. Decoders throw nothing else. `code` names the rule ("stun-length"), stable
 * enough for tests and counters; the message is for a person.
 */
export class WireError extends Error {
  override readonly name = 'WireError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}
