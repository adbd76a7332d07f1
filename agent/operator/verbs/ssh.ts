import type { OperatorContext } from '#agent/operator/context.ts'
import { runInherited } from '#agent/operator/io/run-inherited.ts'
import { parseSshArguments } from '#agent/operator/ssh-arguments.ts'
import { sshWords } from '#agent/operator/ssh-command.ts'
import { lookUp, surroundings } from '#agent/operator/ssh-surroundings.ts'

/** `adit ssh [flags] DEVICE [-- COMMAND…]`: the user's own OpenSSH through the tunnel. Resolves with ssh's exit status. */
export async function ssh(context: OperatorContext, words: readonly string[]): Promise<number> {
  const parsed = parseSshArguments(words)
  // Asked before ssh starts: its own words for "no such device" would be "connection closed by UNKNOWN".
  const { name, trust } = await lookUp(context, parsed.device)
  return runInherited('ssh', sshWords(name, parsed, trust, surroundings(context)))
}
