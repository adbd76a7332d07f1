import { join, resolve } from 'node:path'
import { mergeServices, parseServiceFlag } from '#agent/core/service.ts'
import { parseSuiteName } from '#agent/core/suite-name.ts'
import { AgentSocketServer } from '#agent/io/agent-socket.ts'
import { enrol, Identity, type IdentityPorts } from '#agent/io/identity.ts'
import { readToken } from '#agent/io/read-token.ts'
import { isEnrolledFolder, notEnrolled, StateFolder, stateFiles, stateFolderPath } from '#agent/io/state-folder.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { parseFleetKey } from '#shared/fleet/key-fingerprint.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { readIfPresent } from '#shared/platform/files.ts'
import { type FolderLock, lockFolder } from '#shared/platform/lock.ts'
import { createLog, type Log, type LogLevel, logLevels } from '#shared/platform/log.ts'
import { backgroundTimers, systemTimers } from '#shared/platform/timers.ts'
import { seconds } from '#shared/time/instant.ts'
import type { RunFlags } from '../command-line.ts'
import { type DeviceConfig, defaultConfig, parseDeviceConfig, parseMqtt } from '../config.ts'
import { DeviceAgent, type DeviceEvent } from '../device-agent.ts'

/** A shutdown that hangs is cut: a supervisor would kill us anyway, later. */
const SHUTDOWN_PATIENCE = seconds(5)

/** `adit-agent run`: until a signal ends it. */
export async function runVerb(flags: RunFlags): Promise<void> {
  const path = resolve(stateFolderPath(flags.state, 'adit-agent'))
  const config = await readConfig(flags, path)
  // Before anything is made: a mistyped folder must not come to be.
  if (flags.claim === undefined && !isEnrolledFolder(path)) throw notEnrolled(path)
  const folder = await StateFolder.open(path)
  const log = createLog(config.log, 'adit-agent')
  const lock = await lockFolder(folder.path, 'adit-agent run')
  try {
    await runLocked(flags, folder, config, log, lock)
  } catch (error) {
    await lock.release()
    throw error
  }
}

async function runLocked(flags: RunFlags, folder: StateFolder, config: DeviceConfig, log: Log, lock: FolderLock): Promise<void> {
  const ports = { suite: nativeSuite, clock: systemClock, log, proxy: config.proxy }
  const say = (event: DeviceEvent): void => {
    if (flags.json) process.stdout.write(`${JSON.stringify({ ...event, at: new Date(systemClock.wall()).toISOString() })}\n`)
  }
  // From the first moment on: whoever starts and stops us in one breath gets an orderly end too.
  const ended = untilSignal()
  const identity = await identityOf(flags, folder, ports, say)
  const agent = await DeviceAgent.start({ ...ports, timers: systemTimers, identity, config, onEvent: say })
  const socket = new AgentSocketServer(async (request) => {
    if (request.op === 'status') return agent.look()
    if (request.op === 'report') return agent.report(request.readings).then(() => ({}))
    if (request.op === 'fleet-pin')
      return agent.pinFleetKey(parseFleetKey(String(request.key)), request.replace === true).then(() => ({}))
    throw new AditError('usage', 'The agent knows no such request.', 'Use the programs of the same version.')
  })
  // The door for `status` and the Node API; a path that is too long for it must not cost the tunnel.
  await socket.listen(folder.file('agent.sock')).catch((error) => log.warn({ code: error.code }, error.message))
  await ended
  backgroundTimers.setTimer(SHUTDOWN_PATIENCE, () => process.exit(0))
  await socket.close()
  await agent.stop()
  identity.close()
  await lock.release()
}

async function identityOf(
  flags: RunFlags,
  folder: StateFolder,
  ports: IdentityPorts,
  say: (event: DeviceEvent) => void,
): Promise<Identity> {
  const known = await Identity.load(folder, ports)
  if (known) {
    if (known.record.role === 'device') return known
    throw new AditError(
      'not-enrolled',
      `${folder.path} belongs to an operator.`,
      'Choose another folder: adit-agent run --state DIR',
    )
  }
  if (flags.claim === undefined) throw notEnrolled(folder.path)
  const identity = await enrol({ ...ports, folder, token: await readToken(flags.claim), role: 'device' })
  say({ event: 'enrolled', name: identity.leaf.name, notAfter: new Date(identity.leaf.notAfter).toISOString() })
  return identity
}

/** The file, where there is one, and the flags over it. */
async function readConfig(flags: RunFlags, state: string): Promise<DeviceConfig> {
  const path = flags.config ?? join(state, stateFiles.config)
  const source = await readIfPresent(path)
  if (source === undefined && flags.config !== undefined)
    throw new AditError(
      'config-invalid',
      `There is no configuration ${path}.`,
      'Copy agent/adit-agent.example.toml there, or leave --config out.',
    )
  const file = source === undefined ? defaultConfig : await parseDeviceConfig(Buffer.from(source).toString('utf8'), path)
  return {
    ...file,
    services: mergeServices(file.services, flags.service.map(parseServiceFlag)),
    mqtt: flags.mqtt === undefined ? file.mqtt : parseMqtt(flags.mqtt),
    proxy: flags.proxy ?? file.proxy,
    suite: flags.suite === undefined ? file.suite : parseSuiteName(flags.suite),
    log: flags.log === undefined ? file.log : logLevelOf(flags.log),
  }
}

function logLevelOf(text: string): LogLevel {
  const level = logLevels.find((name) => name === text)
  if (level === undefined) throw new AditError('usage', `"${text}" is no log level.`, `Write one of: ${logLevels.join(', ')}.`)
  return level
}

const untilSignal = (): Promise<void> =>
  new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => resolve())
  })
