import type { Certificate } from '#shared/pki/certificate.ts'
import type { WallTime } from '#shared/time/instant.ts'

export type ExpectedName = { kind: 'dns' | 'ip' | 'email'; value: string }

export interface ChainOptions {
  /** Roots, as certificates whose name and key are trusted. */
  anchors: readonly Certificate[]
  now: WallTime
  /** Key purposes (OIDs) that the leaf must all have in its EKU; issuers that have an EKU must allow them too. */
  purposes: readonly string[]
  /** The server's or user's name, matched against subject alternative names. */
  expectedName?: ExpectedName
  isRevoked?(certificate: Certificate): boolean
  /** Intermediates at most between leaf and root; 4 unless said otherwise. */
  maxDepth?: number
}

/** The path that was proven: leaf first, anchor last. Throws PkiError. */
export declare function verifyChain(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  options: ChainOptions,
): Certificate[]
