import { nativeSuite } from '#shared/crypto/native.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { fastSuite } from '#shared/platform/fast-suite.ts'
import { silentLog } from '#shared/platform/log.ts'

/** The suites that programs seal with: OpenSSL directly where koffi is, and node:crypto everywhere. */
export async function providers(): Promise<readonly Suite[]> {
  const fast = await fastSuite(nativeSuite, silentLog)
  return fast === nativeSuite ? [nativeSuite] : [fast, nativeSuite]
}
