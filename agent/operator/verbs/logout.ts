import { stateFiles } from '#agent/io/state-folder.ts'
import { backupOf } from '#agent/io/two-copies.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { removeDurably } from '#shared/platform/files.ts'

/** The certificate goes first: without it the folder counts as not enrolled, whatever else a power cut leaves. */
const belongings = [
  stateFiles.certificate,
  stateFiles.identityKey,
  stateFiles.tunnelKey,
  stateFiles.agent,
  stateFiles.root,
  stateFiles.floor,
  stateFiles.fleetKey,
  stateFiles.statements,
  'known_hosts',
  'tunnel.log',
]

/** `adit logout`: ends the tunnel and forgets keys, certificate and pinned host keys. The broker's entry ends by expiry or revocation. */
export async function logout(context: OperatorContext): Promise<void> {
  await context.tunnel().requestIfRunning({ op: 'stop' })
  for (const name of belongings) for (const path of [name, backupOf(name)]) await removeDurably(`${context.stateFolder}/${path}`)
  if (context.json) return context.write(`${JSON.stringify({ event: 'logged-out', state: context.stateFolder })}\n`)
  context.note('Logged out. An administrator can end the identity at once: adit-broker operator revoke.')
}
