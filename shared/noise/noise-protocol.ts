import type { Suite } from '#shared/crypto/suite.ts'
import { type CryptoFunctions, cryptoFunctions } from './crypto-functions.ts'
import { type HandshakePattern, handshakePattern, pskCount } from './patterns.ts'
import { parseProtocolName } from './protocol-name.ts'
import { SymmetricState } from './symmetric-state.ts'

/**
 * One protocol name and prologue, with the functions of one crypto provider: everything that its handshakes share, taken apart and
 * hashed once. Make one and keep it.
 */
export class NoiseProtocol {
  readonly pattern: HandshakePattern
  readonly functions: CryptoFunctions
  /** The number of psk tokens in the pattern. */
  readonly pskCount: number
  readonly #beginning: SymmetricState

  /**
   * `name` is like "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"; both sides must give the same `prologue` (Noise rev 34 §6). Throws
   * NoiseError `name` for a protocol not spoken here.
   */
  constructor(suite: Suite, name: string, prologue: Uint8Array = new Uint8Array(0)) {
    const parsed = parseProtocolName(name)
    this.pattern = handshakePattern(parsed.pattern, parsed.modifiers)
    this.functions = cryptoFunctions(suite, parsed)
    this.pskCount = pskCount(this.pattern)
    this.#beginning = SymmetricState.initialize(this.functions, name)
    this.#beginning.mixHash(prologue)
  }

  /** A SymmetricState after InitializeSymmetric and MixHash(prologue), fresh. */
  begin(): SymmetricState {
    return this.#beginning.fork()
  }
}
