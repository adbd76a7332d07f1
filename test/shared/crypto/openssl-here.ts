import { nativeSuite } from '#shared/crypto/native.ts'
import { OpensslCrypto, opensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import { withOpenssl } from '#shared/crypto/openssl-ffi/with-openssl.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { isRefusal, loadNative } from '#shared/platform/linux-engine/native.ts'

const native = await loadNative()
const crypto = isRefusal(native) ? native : opensslCrypto(native, native.memory(256 * 1024))

/** OpenSSL called directly; undefined where this machine cannot, and `noOpenssl` says why. */
export const openssl: OpensslCrypto | undefined = crypto instanceof OpensslCrypto ? crypto : undefined
export const noOpenssl: string | false = crypto instanceof OpensslCrypto ? false : crypto.message

/** The native suite over it, where this machine can: none or one. */
export const opensslSuites: readonly Suite[] = openssl === undefined ? [] : [withOpenssl(nativeSuite, openssl)]
