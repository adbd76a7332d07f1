import { opensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import { withOpenssl } from '#shared/crypto/openssl-ffi/with-openssl.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { isRefusal, loadNative } from './linux-engine/native.ts'
import type { Log } from './log.ts'

/** One packet under way, its key and a tag. Bytes. */
const MEMORY = 128 << 10

/** `base` with AEADs that cost a third, through the OpenSSL inside Node; where this machine cannot, `base` itself, and one line says why. */
export async function fastSuite(base: Suite, log: Log): Promise<Suite> {
  const native = await loadNative()
  const crypto = isRefusal(native) ? native : opensslCrypto(native, native.memory(MEMORY))
  if (!isRefusal(crypto)) return withOpenssl(base, crypto)
  log.info({ code: crypto.code }, `${crypto.message} Packets are sealed by node:crypto, which serves as well, but slower.`)
  return base
}
