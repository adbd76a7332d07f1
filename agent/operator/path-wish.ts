import type { PathWish } from '#agent/core/direct/direct-peer.ts'
import { AditError } from '#shared/errors.ts'

/** The value of `--path`. Throws AditError `usage`. */
export function parsePathWish(text: string): PathWish {
  if (text === 'auto' || text === 'relay' || text === 'direct') return text
  throw new AditError('usage', `"${text}" is no way to a device.`, 'Write --path auto, --path relay or --path direct.')
}
