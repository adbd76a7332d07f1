import type { DirectStatus } from '#agent/core/direct/direct-status.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { openOperator } from '#agent/operator/io/operator-identity.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { span } from '#shared/terminal/age.ts'
import { table } from '#shared/terminal/table.ts'

/** `adit status`: who this machine is, whether the broker answers, and whether a tunnel runs. */
export async function status(context: OperatorContext, device?: string): Promise<void> {
  if (device !== undefined) return deviceStatus(context, checkName(device))
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
      ...(healthText(tunnel) ?? []),
      ...waysOf(tunnel).map((way) => [way.name, wayText(way)]),
    ]),
  )
}

/** `adit status DEVICE`: by which way it is reached at this moment, and why by no better one. */
async function deviceStatus(context: OperatorContext, name: string): Promise<void> {
  const way = waysOf(await context.tunnel().requestIfRunning({ op: 'status' })).find((one) => one.name === name)
  if (way === undefined)
    throw new AditError(
      'not-found',
      `No tunnel to ${name} runs, so no way is in use.`,
      `Reach it first, as by: adit ssh ${name}.`,
    )
  if (context.json) return context.write(`${JSON.stringify(way)}\n`)
  const rows = [
    ['device', name],
    ['path', wayText(way)],
    ['why', way.why?.text ?? 'There is no better way.'],
    ...way.ways.map(({ kind, endpoint, roundTripMs }) => [
      kind,
      `${endpoint ?? 'through the broker'}${roundTripMs === null ? ', no answer' : `, ${roundTripMs} ms`}`,
    ]),
  ]
  await context.write(table(rows))
}

/** What the way to the broker is good for, by probes. */
function healthText(tunnel: Record<string, unknown> | undefined): string[][] | undefined {
  const health = tunnel?.health as { state: string; evidence: string; evidenceAgeSeconds: number | null } | undefined
  if (health === undefined || tunnel?.state !== 'up') return undefined
  const age = health.evidenceAgeSeconds === null ? '' : `, ${span(health.evidenceAgeSeconds)} ago`
  return [['path', `${health.state} by ${tunnel.carrier}: ${health.evidence}${age}`]]
}

const waysOf = (tunnel: Record<string, unknown> | undefined): readonly DirectStatus[] =>
  Array.isArray(tunnel?.devices) ? (tunnel.devices as DirectStatus[]) : []

const wayText = ({ endToEnd, path: { kind, endpoint, roundTripMs } }: DirectStatus): string =>
  [
    kind === 'relay' ? 'relay' : `direct, ${endpoint ?? ''} (${kind})`,
    endToEnd ? 'end to end' : 'the broker carries it',
    ...(roundTripMs === null ? [] : [`${roundTripMs} ms`]),
  ].join(', ')

const without = (document: Record<string, unknown>, key: string): Record<string, unknown> =>
  Object.fromEntries(Object.entries(document).filter(([name]) => name !== key))
