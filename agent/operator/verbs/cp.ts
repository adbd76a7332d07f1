import type { OperatorContext } from '#agent/operator/context.ts'
import { runInherited } from '#agent/operator/io/run-inherited.ts'
import { scpWords } from '#agent/operator/scp-arguments.ts'
import { lookUp, surroundings } from '#agent/operator/ssh-surroundings.ts'

/** `adit cp [scp's flags] SOURCE… TARGET`, where a source or the target is DEVICE:PATH. Resolves with scp's exit status. */
export async function cp(context: OperatorContext, words: readonly string[]): Promise<number> {
  const scp = scpWords(words)
  const found = await Promise.all(scp.devices.map((device) => lookUp(context, device)))
  const trust = found.every((device) => device.trust === 'pinned') ? 'pinned' : 'first-use'
  return runInherited('scp', scp.words(trust, surroundings(context)))
}
