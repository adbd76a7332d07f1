import { CryptoError, type KeyPair, type Suite, wipe } from '#shared/crypto/suite.ts'
import { TransformType } from '#shared/wire/ike-numbers.ts'
import type { KePayload, Proposal } from '#shared/wire/ike-payload/payload.ts'
import { group } from './transform.ts'

/** Our half of one key exchange, used once. */
export interface KeyShare {
  /** KeyExchangeMethod. */
  readonly group: number
  readonly pair: KeyPair
}

/** `method` must be one that we speak. */
export function makeShare(suite: Suite, method: number): KeyShare {
  const exchange = group(method, suite)
  if (exchange === undefined) throw new RangeError(`no key exchange ${method}`)
  return { group: method, pair: exchange.generate() }
}

export const keyPayload = (share: KeyShare): KePayload => ({ kind: 'ke', group: share.group, data: share.pair.publicKey })

/** The shared secret; undefined where the peer's value is of another group, or no public value of it. Our half is wiped. */
export function agree(suite: Suite, share: KeyShare, theirs: KePayload): Uint8Array | undefined {
  try {
    return sharedWith(suite, share, theirs)
  } finally {
    wipe(share.pair.privateKey)
  }
}

/** The same, for a value that anybody may have sent: our half is kept for a better one. */
export function sharedWith(suite: Suite, share: KeyShare, theirs: KePayload): Uint8Array | undefined {
  try {
    return theirs.group === share.group ? group(share.group, suite)!.shared(share.pair, theirs.data) : undefined
  } catch (error) {
    if (error instanceof CryptoError) return undefined
    throw error
  }
}

/** Groups of proposals that we can compute, most wanted first. */
export const groupsOf = (proposals: readonly Proposal[]): number[] => [
  ...new Set(
    proposals.flatMap(({ transforms }) =>
      transforms.filter(({ type }) => type === TransformType.KeyExchange).map(({ id }) => id),
    ),
  ),
]
