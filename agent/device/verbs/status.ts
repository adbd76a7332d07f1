import { join, resolve } from 'node:path'
import { AgentSocketClient } from '#agent/io/agent-socket.ts'
import { isEnrolledFolder, notEnrolled, stateFiles, stateFolderPath } from '#agent/io/state-folder.ts'
import { printable } from '#shared/terminal/printable.ts'
import { describeStanding, type Standing, standingIn } from '../standing.ts'
import type { DeviceStatus } from '../status.ts'

/** `adit-agent status`: asks the running agent through its socket. What comes before and after an agent's work the folder says by itself. */
export async function statusVerb(flags: { state?: string; json?: boolean }): Promise<void> {
  const folder = resolve(stateFolderPath(flags.state, 'adit-agent'))
  const standing = await standingIn(folder)
  const print = (document: object, lines: readonly string[]): void =>
    void process.stdout.write(`${flags.json ? JSON.stringify(document) : lines.map(printable).join('\n')}\n`)
  try {
    const client = await AgentSocketClient.connect(join(folder, stateFiles.socket))
    const found = (await client.request({ op: 'status' })) as DeviceStatus
    client.close()
    const status = standing === undefined ? found : { ...found, standing }
    print(status, describe(status))
  } catch (error) {
    if (standing !== undefined) print({ standing }, standingLines(standing))
    else throw isEnrolledFolder(folder) ? error : notEnrolled(folder)
  }
}

function describe(status: DeviceStatus): string[] {
  const { tunnel, storage, readings } = status
  const evidence = tunnel.evidenceAgeSeconds === null ? 'never heard' : `heard ${tunnel.evidenceAgeSeconds} s ago`
  const waiting = storage.outbox === null ? '' : `, ${storage.outbox.rows} readings wait`
  return [
    `${status.name}  adit-agent ${status.version}, running for ${status.uptimeSeconds} s`,
    ...standingLines(status.standing),
    `tunnel       ${tunnel.state} for ${tunnel.sinceSeconds} s, broker ${tunnel.endpoint ?? 'unknown'}${tunnel.nat64 ? ` through the NAT64 ${tunnel.nat64}` : ''} ${evidence}`,
    `path         ${describePath(tunnel)}`,
    `addresses    ${tunnel.addresses.join(' ') || 'none yet'}`,
    ...(tunnel.interface ? [`interface    ${tunnel.interface.name}, fast engine${problemOf(tunnel.interface.problem)}`] : []),
    `data         ${describeData(status.data)}`,
    `certificate  until ${status.certificate.notAfter}${status.certificate.expired ? ' (expired, renewing)' : ''}`,
    `storage      ${storage.state === 'degraded' ? 'storage degraded' : storage.state}${waiting}${storage.error ? `: ${storage.error}` : ''}`,
    `readings     ${readings.listen ?? 'no local listener'}, ${readings.accepted} taken, ${readings.refused} refused${readings.problem ? `: ${readings.problem}` : ''}`,
    ...status.findings.map(({ text, mend }) => `network      ${text} ${mend}`),
    `fleet        ${describeFleet(status.fleet)}`,
    ...(status.clock === 'ok' ? [] : ['clock        below what is known to be possible: check the battery or NTP']),
    ...status.services.map(
      (service) =>
        `service      ${service.name} at ${service.port} -> ${service.target}, ${service.open} open, ${service.accepted} served` +
        (service.refused === 0 ? '' : `, ${service.refused} refused (${service.lastRefusal})`),
    ),
  ]
}

function standingLines(standing: Standing): string[] {
  const text = describeStanding(standing)
  return text === undefined ? [] : [`standing     ${text}`]
}

const problemOf = (problem: string | null): string => (problem === null ? '' : `: ${problem}`)

function describeData(data: DeviceStatus['data']): string {
  const pace =
    data.pollSeconds === null
      ? `keepalive each ${data.keepaliveSeconds} s (network ${data.lifetime})`
      : `asleep, polls each ${Math.round(data.pollSeconds / 60)} min`
  const budget =
    data.monthlyMegabytes === null
      ? ''
      : ` of ${data.monthlyMegabytes} MB${data.exceeded ? ', which this network does not allow' : ''}`
  const month = data.projectedMegabytes === null ? '' : `, an idle month costs ${data.projectedMegabytes} MB${budget}`
  const estimated = data.estimatedBytes === 0 ? '' : `, ${data.estimatedBytes} of them estimated`
  return `${data.mode}, ${pace}${month}; ${data.sentBytes} bytes sent, ${data.receivedBytes} received${estimated}`
}

function describeFleet(fleet: DeviceStatus['fleet']): string {
  const { pinned, fingerprint, grants, refusedConnections, refusedStatements } = fleet
  const key = pinned ? `key ${fingerprint} pinned` : "no key pinned, the broker's word counts"
  const connections =
    refusedConnections === 0 ? '' : `, ${refusedConnections} connections refused (${fleet.lastRefusedConnection})`
  const statements = refusedStatements === 0 ? '' : `, ${refusedStatements} statements refused (${fleet.lastRefusedStatement})`
  const packets = fleet.refusedPackets === 0 ? '' : `, ${fleet.refusedPackets} packets of nobody's that it lets in`
  return `${key}, ${grants} grants${connections}${packets}${statements}`
}

function describePath({ health, mtu }: DeviceStatus['tunnel']): string {
  if (health === null) return 'unknown yet'
  const age = health.evidenceAgeSeconds === null ? '' : ` ${health.evidenceAgeSeconds} s ago`
  return `${health.state} for ${health.sinceSeconds} s${mtu === null ? '' : `, ${mtu} bytes pass`}: ${health.evidence}${age}`
}
