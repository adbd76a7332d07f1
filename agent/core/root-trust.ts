import type { Suite } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { type RootSuccession, reachableRoots, rootName } from '#shared/pki/root-succession.ts'
import type { WallTime } from '#shared/time/instant.ts'

/**
 * Which roots to trust from now on: those that the broker names as trusted (SHA-256, hex), as far as what we trust leads to them. Nothing is
 * added that a root of ours has not signed for, and what the broker names no more is dropped, but never the last. Undefined where nothing
 * changes.
 */
export function rootsToTrust(
  present: readonly Uint8Array[],
  told: RootSuccession & { readonly trusted: readonly string[] },
  now: WallTime,
  suite: Suite,
): Certificate[] | undefined {
  const own = present.map((der) => parseCertificate(der))
  const reached = new Map(reachableRoots(own, told, now, suite).map((root) => [rootName(root, suite), root]))
  const kept = told.trusted.flatMap((name) => reached.get(name) ?? [])
  const isSame = kept.length === own.length && kept.every((root, at) => Buffer.compare(root.der, own[at]!.der) === 0)
  return kept.length === 0 || isSame ? undefined : [...new Set(kept)]
}
