import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { opensslSuites } from '#test/shared/crypto/openssl-here.ts'

export const providers: readonly Suite[] = [nativeSuite, nobleSuite, ...opensslSuites]

/** The first complaint of any provider, with the provider's name; undefined where all did what the vector states. */
export function underBoth(judgement: (suite: Suite) => string | undefined): string | undefined {
  for (const suite of providers) {
    let complaint: string | undefined
    try {
      complaint = judgement(suite)
    } catch (error) {
      complaint = `threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`
    }
    if (complaint !== undefined) return `${suite.name}: ${complaint}`
  }
  return undefined
}
