/**
 * A Noise step that did not happen. After `message` codes (`short`, `long`, `decrypt`, `public-key`) the state is as it was before the
 * call, and another message may be tried; `turn`, `missing` and `name` are defects of the caller; `exhausted` ends the cipher.
 */
export class NoiseError extends Error {
  override readonly name = 'NoiseError'
  readonly code: NoiseErrorCode
  constructor(code: NoiseErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export type NoiseErrorCode =
  /** The message ends before its pattern does. */
  | 'short'
  /** Above 65535 bytes (§3). */
  | 'long'
  /** Authentication failed. */
  | 'decrypt'
  /** A public key that gives no usable secret: low order, off the curve (§12.1, A-15). */
  | 'public-key'
  /** Not this party's turn, or the handshake is over, or not yet. */
  | 'turn'
  /** The pattern needs a key or PSK that was not given. */
  | 'missing'
  /** No such protocol, pattern or modifier, or one that this library does not speak. */
  | 'name'
  /** Nonce 2^64-1 is reserved (§5.1). */
  | 'exhausted'
