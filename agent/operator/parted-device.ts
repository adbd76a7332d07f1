import type { TunnelClient } from '#agent/operator/io/tunnel-client.ts'
import { errorFrom } from '#agent/operator/tunnel-protocol.ts'
import type { AditError } from '#shared/errors.ts'

/**
 * Why connections to the device have just closed, where the right to reach it has ended; undefined: for a reason of their own. A tunnel
 * process of an earlier version, or none, knows of nothing.
 */
export async function partedFrom(tunnel: Pick<TunnelClient, 'requestIfRunning'>, device: string): Promise<AditError | undefined> {
  const answer = await tunnel.requestIfRunning({ op: 'parting', device }).catch(() => undefined)
  const { refusal } = answer ?? {}
  return typeof refusal === 'object' && refusal !== null ? errorFrom(refusal as Record<string, unknown>) : undefined
}
