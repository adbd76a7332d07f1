import type { Suite } from '#shared/crypto/suite.ts'
import { isAditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { openStatement } from './statement.ts'

/**
 * The key that counts after the key statements among `statements` have been followed from `pinned`: each hands over from the key that
 * signed it, so of a chain of rotations that an end slept through every link is needed, in any order. Nothing else moves a pin.
 */
export function followKeys(
  pinned: Uint8Array,
  statements: readonly Uint8Array[],
  time: WallTime,
  trust: { suite: Pick<Suite, 'ed25519' | 'hash'>; fleet: Uint8Array },
): Uint8Array {
  let key = pinned
  const left = [...statements]
  for (;;) {
    const at = left.findIndex((bytes) => keyIn(bytes, key, time, trust) !== undefined)
    if (at < 0) return key
    // Each link serves once, so that two that hand over to one another end.
    const [link] = left.splice(at, 1)
    key = keyIn(link!, key, time, trust)!
  }
}

function keyIn(
  bytes: Uint8Array,
  key: Uint8Array,
  time: WallTime,
  trust: Parameters<typeof openStatement>[3],
): Uint8Array | undefined {
  try {
    const statement = openStatement(bytes, [key], time, trust)
    return statement.kind === 'key' ? statement.key : undefined
  } catch (error) {
    if (isAditError(error)) return undefined
    throw error
  }
}
