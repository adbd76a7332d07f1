import type { DiffieHellman } from '../suite.ts'
import { AeadContext, type ContextTools, type Direction } from './aead-context.ts'
import { BareX25519, type X25519Functions, x25519Functions } from './bare-x25519.ts'
import { type CLibraries, type CMemory, Evp, TagParameter } from './evp.ts'
import { EvpPkey } from './evp-pkey.ts'
import { failedAgreement } from './known-agreements.ts'
import { failedAnswer } from './known-answers.ts'
import { vectorStateClearer } from './vector-state.ts'
import { OpensslX25519 } from './x25519.ts'

export type { AeadContext } from './aead-context.ts'

/** With a 12-byte nonce and a 16-byte tag, all of them. */
export type AeadName = 'chacha20-poly1305' | 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm'

const keyLengths: Readonly<Record<AeadName, number>> = {
  'chacha20-poly1305': 32,
  'aes-128-gcm': 16,
  'aes-192-gcm': 24,
  'aes-256-gcm': 32,
}

/** Why OpenSSL is not called directly on this machine: one sentence each. */
export interface OpensslRefusal {
  readonly code: 'self-test-failed'
  readonly message: string
  readonly mend: string
}

/** What of OpenSSL is within reach. `bare`: X25519 beneath EVP, where that can be called. */
interface OpensslParts {
  readonly evp: Evp
  readonly pkey: EvpPkey
  readonly bare: X25519Functions | undefined
  readonly clearVectors: (() => void) | undefined
}

/** OpenSSL without Node between: the AEADs and X25519, in one thread and over one memory. */
export class OpensslCrypto {
  readonly memory: CMemory
  readonly #tools: ContextTools
  readonly #pkey: EvpPkey
  readonly #bare: X25519Functions | undefined
  readonly #clearVectors: (() => void) | undefined
  readonly #ciphers = new Map<AeadName, number>()

  constructor(parts: OpensslParts, memory: CMemory) {
    const { evp, pkey, bare, clearVectors } = parts
    this.memory = memory
    this.#pkey = pkey
    this.#bare = bare
    this.#clearVectors = clearVectors
    this.#tools = { evp, memory, tag: new TagParameter(memory), written: memory.address(memory.allocate(4), 4) }
    for (const name of Object.keys(keyLengths) as AeadName[]) {
      const written = new TextEncoder().encode(`${name}\0`)
      const at = memory.allocate(written.length)
      memory.bytes.set(written, at)
      const cipher = evp.fetch(0, memory.address(at, written.length), 0)
      if (cipher === 0) throw new Error(`OpenSSL has no ${name} here`)
      this.#ciphers.set(name, cipher)
    }
  }

  /** A context with the key that stands at `keyAt`: 32 bytes, or 16, 24, 32 as AES has it. They are not needed after the call. */
  context(algorithm: AeadName, direction: Direction, keyAt: number): AeadContext {
    const key = this.memory.address(keyAt, keyLengths[algorithm])
    const afterFinal = algorithm === 'chacha20-poly1305' ? this.#clearVectors : undefined
    return new AeadContext(this.#tools, this.#ciphers.get(algorithm)!, direction, key, afterFinal)
  }

  /** X25519 with private keys from `random`. Takes 128 bytes of the memory. */
  x25519(random: (length: number) => Uint8Array): DiffieHellman {
    return this.#bare === undefined ? this.evpX25519(random) : new BareX25519(this.#bare, this.memory, random)
  }

  /** The same through EVP, as everybody may call it. Whoever is done with it closes it. */
  evpX25519(random: (length: number) => Uint8Array): OpensslX25519 {
    return new OpensslX25519(this.#pkey, this.memory, random)
  }
}

/**
 * Finds OpenSSL 3 in the process or beside it, and has it seal, open and agree on what is known before anybody relies on it. Takes 2 KiB of
 * `memory`. Never throws.
 */
export function opensslCrypto(libraries: CLibraries, memory: CMemory): OpensslCrypto | OpensslRefusal {
  const mend = "Use a build of Node with OpenSSL 3, as nodejs.org's are; node:crypto serves meanwhile."
  try {
    const [evp, pkey] = [new Evp(libraries), new EvpPkey(libraries)]
    const bare = goodFunctions(libraries, memory)
    const clearVectors = vectorStateClearer(libraries, memory, process.arch)
    const crypto = new OpensslCrypto({ evp, pkey, bare, clearVectors }, memory)
    const failure = failedAnswer(crypto) ?? (bare === undefined ? failedX25519(crypto) : undefined)
    if (failure === undefined) return crypto
    return { code: 'self-test-failed', message: `OpenSSL, called directly, fails its test: ${failure}.`, mend }
  } catch (error) {
    const reason = String((error as Error).message).split('\n')[0]
    return { code: 'self-test-failed', message: `OpenSSL cannot be called directly: ${reason}.`, mend }
  }
}

/** They are nobody's promise: where they do not agree as published, EVP serves. */
function goodFunctions(libraries: CLibraries, memory: CMemory): X25519Functions | undefined {
  const functions = x25519Functions(libraries)
  if (functions === undefined) return undefined
  return failedAgreement(new BareX25519(functions, memory, noRandom)) === undefined ? functions : undefined
}

function failedX25519(crypto: OpensslCrypto): string | undefined {
  const x25519 = crypto.evpX25519(noRandom)
  try {
    const failure = failedAgreement(x25519)
    return failure === undefined ? undefined : `X25519 ${failure}`
  } finally {
    x25519.close()
  }
}

/** Who agrees on what is known needs no chance. */
const noRandom = (length: number): Uint8Array => new Uint8Array(length)
