import type { KeyPair } from '../suite.ts'

/** A static key or two, and the handshakes that are under way. */
const MOST = 64

/**
 * OpenSSL's form of the private keys that were used last, since making it costs a multiplication. It lives outside the collector's reach,
 * so that this owns it: what is pushed out by newer ones is freed, and so is, at the next call, the form of a pair whose private key has
 * been wiped meanwhile.
 */
export class HeldKeys<Form> {
  readonly #free: (form: Form) => void
  /** The one used last stands last. */
  readonly #forms = new Map<KeyPair, Form>()

  constructor(free: (form: Form) => void) {
    this.#free = free
  }

  get size(): number {
    return this.#forms.size
  }

  /** Undefined where the pair is not held, or no more. */
  get(pair: KeyPair): Form | undefined {
    this.#sweep()
    const form = this.#forms.get(pair)
    if (form === undefined) return undefined
    this.#forms.delete(pair)
    this.#forms.set(pair, form)
    return form
  }

  /** Takes over `form`, of a pair that is not held yet. */
  hold(pair: KeyPair, form: Form): void {
    this.#sweep()
    for (const oldest of this.#forms.keys()) {
      if (this.#forms.size < MOST) break
      this.#drop(oldest)
    }
    this.#forms.set(pair, form)
  }

  clear(): void {
    for (const pair of this.#forms.keys()) this.#drop(pair)
  }

  #sweep(): void {
    for (const pair of this.#forms.keys()) if (isWiped(pair.privateKey)) this.#drop(pair)
  }

  #drop(pair: KeyPair): void {
    const form = this.#forms.get(pair)
    this.#forms.delete(pair)
    if (form !== undefined) this.#free(form)
  }
}

/** Ends at the first byte of nearly every key that is not. */
function isWiped(key: Uint8Array): boolean {
  for (let i = 0; i < key.length; i++) if (key[i] !== 0) return false
  return true
}
