import { broken, type Diagnosis, type Finding, ok } from '#agent/doctor/finding.ts'
import { describe } from '#agent/doctor/report.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import type { Why } from '#agent/operator/operator-api.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { isAditError } from '#shared/errors.ts'

/** `adit why DEVICE`: the chain from here to the device's service, worst first. */
export async function why(context: OperatorContext, device: string, port: number): Promise<void> {
  const name = checkName(device)
  const own = await ownTunnel(context)
  const fromBroker = await askBroker(context, name, port)
  // What is nearest to the asker comes first: with a dead tunnel here, nothing beyond it matters.
  const isBlind = fromBroker === undefined || own?.state === 'broken'
  const here = isBlind ? await ownMachine(context, own) : own === undefined ? [] : [own]
  const findings = sorted([...here, ...(fromBroker?.facts.map(findingOf) ?? [])])
  const first = findings.find(({ state }) => state === 'broken')
  const verdict = first?.code ?? 'ok'
  const mend = first?.mend ?? fromBroker?.mend ?? ''
  if (context.json) {
    const facts = findings.map((finding) => ({ ...finding, ok: finding.state !== 'broken' }))
    return context.write(`${JSON.stringify({ device: name, verdict, facts, mend })}\n`)
  }
  const lines = describe({ verdict, findings })
  const closing = first === undefined ? mend : `First broken link: ${first.code}.`
  await context.write(`${[...lines, closing].join('\n')}\n`)
}

/** Undefined where the broker's API is not reached; a refusal of the broker's is an answer, and ends the command. */
async function askBroker(context: OperatorContext, name: string, port: number): Promise<Why | undefined> {
  try {
    return await (await context.api()).why(name, port)
  } catch (error) {
    const isUnreached = isAditError(error) && (error.code === 'broker-unreachable' || error.code === 'ca-mismatch')
    if (!isUnreached) throw error
    return undefined
  }
}

/** What this machine's own tunnel knows, where one runs; no tunnel is no fault, since the next command opens it. */
async function ownTunnel(context: OperatorContext): Promise<Finding | undefined> {
  const status = await context.tunnel().requestIfRunning({ op: 'status' })
  if (status === undefined) return undefined
  if (status.state === 'up')
    return ok('own-tunnel', `Your own tunnel to the broker is up (${String(status.endpoint)}${throughNat64(status.nat64)}).`)
  const mend = 'See below what stands in its way, or ask: adit doctor.'
  return broken('tunnel-unreachable', 'Your own tunnel to the broker gets no answer.', mend)
}

const throughNat64 = (prefix: unknown): string => (typeof prefix === 'string' ? `, through the NAT64 ${prefix}` : '')

/** This machine's own doctor, before all that lies beyond: its first broken line says more than that the tunnel is down. */
async function ownMachine(context: OperatorContext, tunnel: Finding | undefined): Promise<Finding[]> {
  const { findings }: Diagnosis = await context.diagnose()
  const own = findings.map((finding) => ({ ...finding, text: `Here: ${finding.text}` }))
  const causes = own.filter(({ state }) => state === 'broken')
  return [...causes, ...(tunnel ? [tunnel] : []), ...own.filter(({ state }) => state !== 'broken')]
}

/** A broker of an earlier version sends no state and no mends. */
const findingOf = ({ code, text, ok: holds, state, mend }: Why['facts'][number]): Finding => ({
  code,
  text,
  state: state ?? (holds ? 'ok' : 'broken'),
  mend: mend ?? '',
})

const rank: Record<Finding['state'], number> = { broken: 0, warn: 1, ok: 2 }

const sorted = (findings: Finding[]): Finding[] => findings.sort((a, b) => rank[a.state] - rank[b.state])
