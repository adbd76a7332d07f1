import { type CFunction, type CLibraries, finder } from './evp.ts'

/** The functions of OpenSSL 3 that agree on a secret (EVP_PKEY_derive(3), EVP_PKEY_new_raw_private_key(3)): numbers in, a number out. */
export class EvpPkey {
  /** (type, engine, 32 bytes, their number); the address of a key, or 0. */
  readonly newPrivate: CFunction
  readonly newPublic: CFunction
  /** (key, 32 bytes, their number): another public key in the place of the one that is there. */
  readonly setPublic: CFunction
  readonly free: (key: number) => void
  /** (key, out, length); 1, or something else for an error, like the rest. */
  readonly getPublic: CFunction
  /** (key, engine); the address of a context, or 0. */
  readonly newContext: CFunction
  readonly freeContext: (context: number) => void
  readonly deriveInit: (context: number) => number
  /** (context, the other's public key, whether to check it) */
  readonly setPeer: CFunction
  /** (context, out, length) */
  readonly derive: CFunction
  readonly clearErrors: () => void

  /** Throws where OpenSSL 3 is not within reach. */
  constructor(libraries: CLibraries) {
    const find = finder(libraries)
    const raw = '(int type, uintptr_t engine, uintptr_t key, size_t length)'
    this.newPrivate = find(`uintptr_t EVP_PKEY_new_raw_private_key${raw}`)
    this.newPublic = find(`uintptr_t EVP_PKEY_new_raw_public_key${raw}`)
    this.setPublic = find('int EVP_PKEY_set1_encoded_public_key(uintptr_t key, uintptr_t encoded, size_t length)')
    this.free = find('void EVP_PKEY_free(uintptr_t key)')
    this.getPublic = find('int EVP_PKEY_get_raw_public_key(uintptr_t key, uintptr_t out, uintptr_t length)')
    this.newContext = find('uintptr_t EVP_PKEY_CTX_new(uintptr_t key, uintptr_t engine)')
    this.freeContext = find('void EVP_PKEY_CTX_free(uintptr_t context)')
    this.deriveInit = find('int EVP_PKEY_derive_init(uintptr_t context)')
    this.setPeer = find('int EVP_PKEY_derive_set_peer_ex(uintptr_t context, uintptr_t peer, int validate)')
    this.derive = find('int EVP_PKEY_derive(uintptr_t context, uintptr_t out, uintptr_t length)')
    this.clearErrors = find('void ERR_clear_error()')
  }
}
