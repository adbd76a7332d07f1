/**
 * The functions of OpenSSL 3 that seal and open (EVP_EncryptInit(3)), and what is needed of native code to call them. All take and return
 * numbers; addresses are checked by `memory.address`.
 */

/** A function by its C declaration: numbers in, a number out. */
export type CFunction = (...values: readonly number[]) => number

/** Loads shared libraries; null stands for what the process has loaded already. Throws where there is no such library or function. */
export interface CLibraries {
  library(path: string | null): { function(declaration: string): CFunction }
}

/** Memory that native code may be pointed to. Offsets and lengths in bytes. */
export interface CMemory {
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  readonly abi: { readonly pointerBytes: 4 | 8 }
  allocate(length: number, align?: number): number
  /** Throws RangeError unless all of it is inside. */
  address(at: number, length: number): number
  /** Writes a size_t or an address at a multiple of 4. */
  setSize(at: number, value: number): void
}

/** Where Node was built without an OpenSSL of its own. */
const SHARED_OPENSSL = 'libcrypto.so.3'

/** OSSL_PARAM_OCTET_STRING: include/openssl/core.h. */
const OCTET_STRING = 5

export const TAG_LENGTH = 16

export class Evp {
  readonly newContext: () => number
  readonly freeContext: (context: number) => void
  /** (library context, name, properties) */
  readonly fetch: (library: number, name: number, properties: number) => number
  /** (context, cipher, key, iv, parameters); 1, or 0 for an error, like the rest. */
  readonly encryptInit: CFunction
  readonly decryptInit: CFunction
  /** (context, out or 0 for AAD, length written, in, length) */
  readonly encryptUpdate: CFunction
  readonly decryptUpdate: CFunction
  /** (context, out, length written) */
  readonly encryptFinal: CFunction
  readonly decryptFinal: CFunction
  /** (context, parameters) */
  readonly getParameters: CFunction
  readonly clearErrors: () => void

  /** Throws where OpenSSL 3 is not within reach. */
  constructor(libraries: CLibraries) {
    const find = finder(libraries)
    this.newContext = find('uintptr_t EVP_CIPHER_CTX_new()')
    this.freeContext = find('void EVP_CIPHER_CTX_free(uintptr_t context)')
    this.fetch = find('uintptr_t EVP_CIPHER_fetch(uintptr_t library, uintptr_t name, uintptr_t properties)')
    const init = '(uintptr_t context, uintptr_t cipher, uintptr_t key, uintptr_t iv, uintptr_t parameters)'
    this.encryptInit = find(`int EVP_EncryptInit_ex2${init}`)
    this.decryptInit = find(`int EVP_DecryptInit_ex2${init}`)
    const update = '(uintptr_t context, uintptr_t out, uintptr_t written, uintptr_t in, int length)'
    this.encryptUpdate = find(`int EVP_EncryptUpdate${update}`)
    this.decryptUpdate = find(`int EVP_DecryptUpdate${update}`)
    const final = '(uintptr_t context, uintptr_t out, uintptr_t written)'
    this.encryptFinal = find(`int EVP_EncryptFinal_ex${final}`)
    this.decryptFinal = find(`int EVP_DecryptFinal_ex${final}`)
    this.getParameters = find('int EVP_CIPHER_CTX_get_params(uintptr_t context, uintptr_t parameters)')
    this.clearErrors = find('void ERR_clear_error()')
  }
}

/** OpenSSL's functions by their declarations: those that Node brings, or those beside it. Throws where OpenSSL 3 is not within reach. */
export function finder(libraries: CLibraries): (declaration: string) => CFunction {
  const own = libraries.library(null)
  try {
    own.function('int EVP_EncryptInit_ex2()')
    return (declaration) => own.function(declaration)
  } catch {
    const shared = libraries.library(SHARED_OPENSSL)
    return (declaration) => shared.function(declaration)
  }
}

/**
 * An OSSL_PARAM array of one entry: where a call finds the tag, or puts it.
 *
 *   key (pointer to "tag") | type (32 bits, padded to a pointer) | data (pointer) | its size | size returned | an entry of zeros
 */
export class TagParameter {
  readonly address: number
  readonly #memory: CMemory
  readonly #data: number

  constructor(memory: CMemory) {
    const { pointerBytes } = memory.abi
    const key = memory.allocate(4)
    memory.bytes.set(new TextEncoder().encode('tag\0'), key)
    const at = memory.allocate(10 * pointerBytes)
    memory.bytes.fill(0, at, at + 10 * pointerBytes)
    memory.setSize(at, memory.address(key, 4))
    memory.words[(at + pointerBytes) >> 2] = OCTET_STRING
    memory.setSize(at + 3 * pointerBytes, TAG_LENGTH)
    this.#memory = memory
    this.#data = at + 2 * pointerBytes
    this.address = memory.address(at, 10 * pointerBytes)
  }

  /** The tag stands at `address`, which was checked; returns where the array is. */
  at(address: number): number {
    this.#memory.setSize(this.#data, address)
    return this.address
  }
}
