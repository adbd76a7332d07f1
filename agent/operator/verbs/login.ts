import { enrol } from '#agent/io/enrol.ts'
import { readToken } from '#agent/io/read-token.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { operatorPorts } from '#agent/operator/io/operator-identity.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'

/** `adit login --claim TOKEN|- [--suite noise|esp]`: makes keys here and turns the claim into an operator's certificate. */
export async function login(
  context: OperatorContext,
  { claim, speaks, proxy }: { claim: string; speaks: SuiteName; proxy: string | undefined },
): Promise<void> {
  const token = await readToken(claim)
  const folder = await StateFolder.open(context.stateFolder)
  const identity = await enrol({
    ...operatorPorts(),
    folder,
    token,
    role: 'operator',
    speaks,
    proxy,
    onProgress: (step) => {
      if (!context.json) context.note(step)
    },
  })
  const { name, notAfter } = identity.leaf
  identity.close()
  const until = new Date(notAfter).toISOString()
  if (context.json)
    return context.write(`${JSON.stringify({ event: 'enrolled', name, notAfter: until, state: context.stateFolder })}\n`)
  context.note(`Logged in as ${name}, until ${until}. See your devices: adit devices.`)
}
