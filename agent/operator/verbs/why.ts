import type { DirectStatus } from '#agent/core/direct/direct-status.ts'
import { broken, type Diagnosis, type Finding, ok } from '#agent/doctor/finding.ts'
import { describe } from '#agent/doctor/report.ts'
import { readPin } from '#agent/io/fleet-keeper.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import type { Why } from '#agent/operator/operator-api.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { isAditError } from '#shared/errors.ts'

/** `adit why DEVICE`: the chain from here to the device's service, worst first. Returns the exit status: 0 where nothing is broken. */
export async function why(context: OperatorContext, device: string, port: number): Promise<number> {
  const name = checkName(device)
  const status = await context.tunnel().requestIfRunning({ op: 'status' })
  const own = status && ownTunnel(status)
  const fromBroker = await askBroker(context, name, port)
  // What is nearest to the asker comes first: with a dead tunnel here, nothing beyond it matters.
  const isBlind = fromBroker === undefined || own?.state === 'broken'
  const here = isBlind ? await ownMachine(context, own) : own === undefined ? [] : [own]
  const doubt = isBlind ? [] : await doubtOf(context, name)
  const findings = sorted([...here, ...doubt, ...wayTo(name, status), ...(fromBroker?.facts.map(findingOf) ?? [])])
  const first = findings.find(({ state }) => state === 'broken')
  const verdict = first?.code ?? 'ok'
  const mend = first?.mend ?? fromBroker?.mend ?? ''
  const facts = findings.map((finding) => ({ ...finding, ok: finding.state !== 'broken' }))
  const closing = first === undefined ? mend : `First broken link: ${first.code}.`
  await context.write(
    context.json
      ? `${JSON.stringify({ device: name, verdict, facts, mend })}\n`
      : `${[...describe({ verdict, findings }), closing].join('\n')}\n`,
  )
  return first === undefined ? 0 : 1
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

type TunnelStatus = Record<string, unknown>

/** What this machine's own tunnel knows, where one runs; no tunnel is no fault, since the next command opens it. */
function ownTunnel(status: TunnelStatus): Finding {
  if (status.state === 'up')
    return ok('own-tunnel', `Your own tunnel to the broker is up (${String(status.endpoint)}${throughNat64(status.nat64)}).`)
  const mend = 'See the other lines for what stands in its way, or ask: adit doctor.'
  return broken('tunnel-unreachable', 'Your own tunnel to the broker gets no answer.', mend)
}

/** By which way the device is reached at this moment, and why by no better one; nothing where nobody has reached for it. */
function wayTo(name: string, status: TunnelStatus | undefined): Finding[] {
  const ways = Array.isArray(status?.devices) ? (status.devices as DirectStatus[]) : []
  const way = ways.find((one) => one.name === name)
  if (way === undefined) return []
  const { endpoint, kind, roundTripMs } = way.path
  const took = roundTripMs === null ? '' : `, ${roundTripMs} ms`
  if (kind !== 'relay') return [ok('way', `${name} is reached directly, at ${endpoint} (${kind})${took}.`)]
  const because = way.why === null ? '.' : `: ${uncapitalised(way.why.text, name)}`
  return [ok('way', `${name} is reached through the broker${took}${because}`)]
}

const uncapitalised = (text: string, name: string): string =>
  text.startsWith(name) ? text : `${text.slice(0, 1).toLowerCase()}${text.slice(1)}`

/** What this machine does not believe of the broker's word on the device, where it has pinned the fleet key: its tunnel lets nobody through then. */
async function doubtOf(context: OperatorContext, name: string): Promise<Finding[]> {
  if ((await readPin(await StateFolder.open(context.stateFolder))) === undefined) return []
  try {
    const { socket } = await context.tunnel().request({ op: 'device', device: name })
    socket.destroy()
  } catch (error) {
    if (isAditError(error) && error.code === 'statement-refused') return [broken(error.code, error.message, error.mend)]
  }
  return []
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
