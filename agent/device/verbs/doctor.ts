import { join, resolve } from 'node:path'
import { splitHostPort } from '#agent/core/agent-config.ts'
import { mergeServices, parseServiceFlag, type Service } from '#agent/core/service.ts'
import { diagnose } from '#agent/doctor/diagnose.ts'
import type { AgentFact } from '#agent/doctor/facts.ts'
import { enrolledPatient, strangerPatient } from '#agent/doctor/io/patient.ts'
import { examineMachine, type Patient } from '#agent/doctor/io/system-probes.ts'
import { describe } from '#agent/doctor/report.ts'
import { askAgent } from '#agent/io/agent-socket.ts'
import { Identity } from '#agent/io/identity.ts'
import { isEnrolledFolder, notEnrolled, StateFolder, stateFiles, stateFolderPath } from '#agent/io/state-folder.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { readIfPresent } from '#shared/platform/files.ts'
import { silentLog } from '#shared/platform/log.ts'
import { agentFactOf, learnedOf } from '../agent-fact.ts'
import type { DoctorFlags } from '../command-line.ts'
import { type DeviceConfig, defaultConfig, parseDeviceConfig } from '../config.ts'
import type { DeviceStatus } from '../status.ts'

/** `adit-agent doctor`: why the tunnel does not come up, or whether all is well. Status 0 only where nothing is broken. */
export async function doctorVerb(flags: DoctorFlags): Promise<void> {
  const path = resolve(stateFolderPath(flags.state, 'adit-agent'))
  const { findings, verdict } = diagnose(await examineMachine(await patientOf(flags, path)))
  process.stdout.write(
    flags.json ? `${JSON.stringify({ verdict, findings })}\n` : `${describe({ findings, verdict }).join('\n')}\n`,
  )
  if (findings.some(({ state }) => state === 'broken')) process.exitCode = 1
}

async function patientOf(flags: DoctorFlags, path: string): Promise<Patient> {
  const flagged = flags.service.map(parseServiceFlag)
  if (flags.broker !== undefined || !isEnrolledFolder(path)) {
    if (flags.broker === undefined) throw withBroker(notEnrolled(path))
    return strangerPatient(flags.broker, { suite: nativeSuite, clock: systemClock, services: flagged })
  }
  const folder = await StateFolder.open(path)
  const config = await configured(path)
  const ports = { suite: nativeSuite, clock: systemClock, log: silentLog, proxy: config.proxy }
  const identity = await Identity.load(folder, ports, 'reader')
  if (identity === undefined) throw notEnrolled(path)
  const status = (await askAgent(folder.file('agent.sock'), { op: 'status' }).catch(() => undefined)) as DeviceStatus | undefined
  const services = mergeServices(status ? servicesOf(status) : config.services, flagged)
  const agent: AgentFact = status ? agentFactOf(status) : { kind: 'not-running' }
  const patient = enrolledPatient(identity, { suite: nativeSuite, clock: systemClock, services })
  return { ...patient, agent: async () => agent, ...(status && { learned: learnedOf(status) }) }
}

const servicesOf = ({ services }: DeviceStatus): Service[] =>
  services.flatMap(({ name, port, target }) => {
    const place = splitHostPort(target.includes(':') ? bracketed(target) : target)
    return place === undefined ? [] : [{ name, port, target: place }]
  })

/** The status writes IPv6 addresses bare. */
function bracketed(target: string): string {
  const at = target.lastIndexOf(':')
  const host = target.slice(0, at)
  return host.includes(':') && !host.startsWith('[') ? `[${host}]${target.slice(at)}` : target
}

async function configured(state: string): Promise<DeviceConfig> {
  const file = join(state, stateFiles.config)
  const source = await readIfPresent(file)
  return source === undefined ? defaultConfig : parseDeviceConfig(Buffer.from(source).toString('utf8'), file)
}

const withBroker = (error: ReturnType<typeof notEnrolled>): Error =>
  Object.assign(error, { mend: `${error.mend}; or look before that: adit-agent doctor --broker HOST` })
