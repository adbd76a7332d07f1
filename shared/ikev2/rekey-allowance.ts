import type { Duration, Instant } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'

/** The IKE SA and its Child SA may fall due at the same moment. */
const AT_ONCE = 2

/** How often a peer may rekey: in the long run one security association in each `spacing`; 0: as often as it likes. */
export class RekeyAllowance {
  readonly #bucket: TokenBucket | undefined

  constructor(spacing: Duration) {
    this.#bucket = spacing === 0 ? undefined : new TokenBucket(1_000 / spacing, AT_ONCE)
  }

  take(now: Instant): boolean {
    return this.#bucket?.take(now) ?? true
  }
}
