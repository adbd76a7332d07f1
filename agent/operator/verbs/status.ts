import type { OperatorContext } from '#agent/operator/context.ts'
import { openOperator } from '#agent/operator/io/operator-identity.ts'
import { toAditError } from '#shared/errors.ts'
import { span } from '#shared/terminal/age.ts'
import { table } from '#shared/terminal/table.ts'

/** `adit status`: who this machine is, whether the broker answers, and whether a tunnel runs. */
export async function status(context: OperatorContext): Promise<void> {
  const operator = await openOperator(context.stateFolder)
  const tunnel = await context.tunnel().requestIfRunning({ op: 'status' })
  const broker = await (await context.api()).whoAmI().then(
    ({ admin }) => ({ reachable: true, admin }),
    (error: unknown) => ({ reachable: false, ...toAditError(error).toJSON() }),
  )
  const { api } = operator.record
  const { name, notAfter } = operator.leaf
  const document = {
    name,
    state: context.stateFolder,
    api,
    certificate: { notAfter: new Date(notAfter).toISOString() },
    broker,
    tunnel: tunnel === undefined ? { state: 'none' } : without(tunnel, 'ok'),
  }
  if (context.json) return context.write(`${JSON.stringify(document)}\n`)
  const left = (notAfter - context.clock.wall()) / 1000
  await context.write(
    table([
      ['name', name],
      ['state', context.stateFolder],
      ['api', api.join(' ')],
      ['certificate', left > 0 ? `valid for ${span(left)}` : 'expired'],
      ['broker', broker.reachable ? 'answers' : `${'message' in broker ? broker.message : 'does not answer'}`],
      [
        'tunnel',
        tunnel === undefined
          ? 'none runs; it starts with the first command that needs it'
          : `${tunnel.state}${tunnel.endpoint ? `, broker at ${tunnel.endpoint}` : ''}`,
      ],
    ]),
  )
}

const without = (document: Record<string, unknown>, key: string): Record<string, unknown> =>
  Object.fromEntries(Object.entries(document).filter(([name]) => name !== key))
