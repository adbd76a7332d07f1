import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { Suite } from '#shared/crypto/suite.ts'

export const providers: readonly Suite[] = [nativeSuite, nobleSuite]

/** The first complaint of either provider, with the provider's name; undefined where both did what the vector states. */
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
