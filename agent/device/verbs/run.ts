import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { mergeServices, parseServiceFlag } from '#agent/core/service.ts'
import { parseSuiteName } from '#agent/core/suite-name.ts'
import { AgentSocketServer } from '#agent/io/agent-socket.ts'
import { ApprovalPending } from '#agent/io/approval.ts'
import { isBoardFolder } from '#agent/io/board-identity.ts'
import { boardSerial } from '#agent/io/board-serial.ts'
import { enrol } from '#agent/io/enrol.ts'
import { sayFarewell } from '#agent/io/farewell.ts'
import { Identity, type IdentityPorts } from '#agent/io/identity.ts'
import { isDeliveryPending } from '#agent/io/line-pending.ts'
import { beginOptimising, Optimiser } from '#agent/io/optimiser.ts'
import { proxyFinder } from '#agent/io/outer-proxy.ts'
import { readToken } from '#agent/io/read-token.ts'
import { isEnrolledFolder, notEnrolled, StateFolder, stateFiles, stateFolderPath } from '#agent/io/state-folder.ts'
import { keyIsFile } from '#agent/io/token-faults.ts'
import { parseTokenUri, type TokenPlace } from '#agent/io/token-place.ts'
import { beginWipe, endWipe, wipeMarkerName } from '#agent/io/wipe.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { parseFleetKey } from '#shared/fleet/key-fingerprint.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { fastSuite } from '#shared/platform/fast-suite.ts'
import { readIfPresent } from '#shared/platform/files.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { createLog, type Log, type LogLevel, logLevels } from '#shared/platform/log.ts'
import { backgroundTimers, systemTimers } from '#shared/platform/timers.ts'
import { TunNetwork } from '#shared/platform/tun-network/tun-network.ts'
import { days, seconds } from '#shared/time/instant.ts'
import type { RunFlags } from '../command-line.ts'
import {
  type DeviceConfig,
  defaultConfig,
  defaultTun,
  parseDeviceConfig,
  parseDevicePath,
  parseMqtt,
  parseTunName,
} from '../config.ts'
import { DeviceAgent, type DeviceEvent } from '../device-agent.ts'
import { findOwner } from '../first-power-on.ts'

/** A shutdown that hangs is cut: a supervisor would kill us anyway, later. */
const SHUTDOWN_PATIENCE = seconds(5)
/** For telling the station of the line that this board has what it gave. */
const TELLING_PATIENCE = seconds(20)

/** `adit-agent run`: until a signal ends it. */
export async function runVerb(flags: RunFlags): Promise<void> {
  const path = resolve(stateFolderPath(flags.state, 'adit-agent'))
  const config = await readConfig(flags, path)
  // Before anything is made: a mistyped folder must not come to be.
  const begun = [wipeMarkerName, stateFiles.claim].some((name) => existsSync(join(path, name)))
  if (flags.claim === undefined && !isEnrolledFolder(path) && !isBoardFolder(path) && !begun) throw notEnrolled(path)
  const folder = await StateFolder.open(path)
  const log = createLog(config.log, 'adit-agent')
  const lock = await lockFolder(folder.path, 'adit-agent run')
  // From the first moment on: whoever starts and stops us in one breath gets an orderly end too.
  const ended = untilSignal()
  try {
    // A device that changes its fleet does so in one run, and keeps nothing that its last owner has configured.
    for (let current = config; ; current = await readConfig(flags, path)) {
      const isOver = await runFleet(flags, folder, current, log, ended)
      if (isOver) break
    }
  } finally {
    await lock.release()
  }
}

/** Until a signal, or an order to forget the fleet; true where nothing is left to do then. */
async function runFleet(
  flags: RunFlags,
  folder: StateFolder,
  config: DeviceConfig,
  log: Log,
  ended: AbortSignal,
): Promise<boolean> {
  // Koffi takes some megabytes, which a board that sends readings has better uses for.
  const suite = config.tun === undefined ? nativeSuite : await fastSuite(nativeSuite, log)
  const { proxy, pkcs11, renewsKey } = config
  const ports = { suite, clock: systemClock, log, proxy, pkcs11, renewsKey }
  const say = (event: DeviceEvent): void => {
    if (flags.json) process.stdout.write(`${JSON.stringify({ ...event, at: new Date(systemClock.wall()).toISOString() })}\n`)
  }
  // What a killed run has left of its TUN may be what keeps us from the broker.
  await TunNetwork.recover({ folder: folder.path, log }).catch((error) => log.error({ code: error.code }, error.message))
  const wiped = await sayFarewell({
    ...{ suite, timers: systemTimers, log, state: folder.path, stopped: ended },
    identity: () => Identity.load(folder, ports),
  })
  if (wiped === 'stopped') return true
  if (wiped !== undefined) {
    log.info({ moves: wiped.next !== undefined }, 'this device has forgotten its fleet')
    say({ event: 'wiped', moves: wiped.next !== undefined })
    if (wiped.next === undefined) return true
  }
  // A claim that waits for a person is still the claim.
  const waiting = flags.claim === undefined ? await folder.keptClaim() : undefined
  const claim = wiped?.next ?? flags.claim ?? waiting
  const isClaimed = claim !== undefined
  const sources = config.factory
  const found = await findOwner(
    { ...ports, proxy: proxyFinder(config.proxy), folder, sources, timers: systemTimers, ended },
    isClaimed,
  )
  if (found === 'stopped') return true
  const identity = await identityOf(
    { ...flags, ...(claim !== undefined && { claim }) },
    folder,
    { ...ports, stopped: ended },
    say,
  )
  if (identity === undefined) return true
  if (found === 'enrolled') say(enrolledEvent(identity))
  if (wiped !== undefined) await endWipe(folder.path)
  return runLocked({ identity, config, ports, say, flags }, folder, log, ended)
}

interface Run {
  readonly identity: Identity
  readonly config: DeviceConfig
  readonly ports: IdentityPorts
  readonly say: (event: DeviceEvent) => void
  readonly flags: RunFlags
}

async function runLocked(
  { identity, config, ports, say }: Run,
  folder: StateFolder,
  log: Log,
  ended: AbortSignal,
): Promise<boolean> {
  let heard: (order: { id: string; next?: string }) => void = () => {}
  const ordered = new Promise<{ id: string; next?: string }>((resolve) => {
    heard = resolve
  })
  let replaced: () => void = () => {}
  const hasOther = new Promise<'replaced'>((resolve) => {
    replaced = () => resolve('replaced')
  })
  const optimiser = new Optimiser({ clock: ports.clock, begin: beginOptimising })
  // A TUN is for whoever moves much, and its lanes are threads that see no datagram of ours.
  if (config.tun !== undefined) beginOptimising()
  const starting = DeviceAgent.start({
    ...ports,
    timers: systemTimers,
    identity,
    config,
    onEvent: say,
    onDatagram: () => optimiser.datagram(),
    onOrder: heard,
    onReplaced: replaced,
  })
  // Before the agent says that it is up: who hears that may ask at once, and waits for what is still being opened.
  const socket = new AgentSocketServer(async (request) => {
    const agent = await starting
    if (request.op === 'status') return agent.look()
    if (request.op === 'report') return agent.report(request.readings).then(() => ({}))
    if (request.op === 'fleet-pin')
      return agent.pinFleetKey(parseFleetKey(String(request.key)), request.replace === true).then(() => ({}))
    throw new AditError('usage', 'The agent knows no such request.', 'Use the programs of the same version.')
  })
  // The door for `status` and the Node API; a path that is too long for it must not cost the tunnel.
  const listening = socket.listen(folder.file('agent.sock')).catch((error) => log.warn({ code: error.code }, error.message))
  const agent = await starting.catch(async (error) => {
    await listening
    await socket.close().catch(() => {})
    throw error
  })
  await listening
  const end = await Promise.race([ordered, hasOther, aborted(ended)])
  const order = end === 'replaced' ? undefined : end
  if (order !== undefined) {
    log.warn({ order: order.id }, 'ordered to forget the fleet')
    await beginWipe(folder.path, order)
    say({ event: 'wiping', order: order.id })
  }
  // The order outlives a shutdown that hangs: the next start goes on.
  const patience = backgroundTimers.setTimer(SHUTDOWN_PATIENCE, () => process.exit(0))
  await socket.close()
  await agent.stop()
  identity.close()
  patience.clear()
  // With another order or identity the folder is taken up anew.
  return end === undefined
}

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })

async function identityOf(
  flags: RunFlags,
  folder: StateFolder,
  ports: IdentityPorts & { stopped: AbortSignal },
  say: (event: DeviceEvent) => void,
): Promise<Identity | undefined> {
  if (flags.line !== undefined) await comeToLine(flags, folder, ports.pkcs11)
  const known = await Identity.load(folder, ports)
  if (known) {
    if (ports.pkcs11 !== undefined && known.keys.identityPem !== undefined) {
      const { code, message, mend } = keyIsFile(folder.path)
      ports.log.warn({ code }, `${message} ${mend}`)
    }
    if (known.record.role === 'device') return known
    throw new AditError(
      'not-enrolled',
      `${folder.path} belongs to an operator.`,
      'Choose another folder: adit-agent run --state DIR',
    )
  }
  if (flags.claim === undefined) throw notEnrolled(folder.path)
  const { log } = ports
  try {
    const identity = await enrol({
      ...ports,
      folder,
      token: await readToken(flags.claim),
      role: 'device',
      serial: await boardSerial(),
      onWaiting(pending) {
        const { request, key, retryAfter } = pending
        log.warn({ request, key, retryAfter }, `${pending.message} ${pending.mend}`)
        say({ event: 'waiting', request, key, retryAfter })
      },
    })
    say(enrolledEvent(identity))
    return identity
  } catch (error) {
    if (error instanceof ApprovalPending && ports.stopped.aborted) return undefined
    throw error
  }
}

const enrolledEvent = ({ leaf }: Identity): DeviceEvent => ({
  event: 'enrolled',
  name: leaf.name,
  notAfter: new Date(leaf.notAfter).toISOString(),
})

/** A board in factory state waits for its station; one that has an identity only for a moment, where the station may not know of it. */
async function comeToLine(flags: RunFlags, folder: StateFolder, pkcs11: TokenPlace | undefined): Promise<void> {
  const enrolled = isEnrolledFolder(folder.path)
  if (enrolled && !(await isDeliveryPending(folder))) return
  const { enrolAtThisLine } = await import('./enrol-line.ts')
  const told = enrolAtThisLine(folder, flags.line!, {
    pkcs11,
    patience: enrolled ? TELLING_PATIENCE : days(365),
    quiet: flags.json === true,
  })
  await (enrolled ? told.catch(() => {}) : told)
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
    pkcs11: flags.pkcs11 === undefined ? file.pkcs11 : parseTokenUri(flags.pkcs11),
    path: flags.path === undefined ? file.path : parseDevicePath(flags.path),
    tun: flags.tun === undefined ? file.tun : { all: file.tun?.all, name: tunName(flags.tun, file) },
    suite: flags.suite === undefined ? file.suite : parseSuiteName(flags.suite),
    log: flags.log === undefined ? file.log : logLevelOf(flags.log),
    factory: { voucher: flags.voucher ?? file.factory.voucher, brokers: [...file.factory.brokers, ...flags.broker] },
  }
}

const tunName = (flag: string | true, file: DeviceConfig): string =>
  flag === true ? (file.tun?.name ?? defaultTun) : parseTunName(flag)

function logLevelOf(text: string): LogLevel {
  const level = logLevels.find((name) => name === text)
  if (level === undefined) throw new AditError('usage', `"${text}" is no log level.`, `Write one of: ${logLevels.join(', ')}.`)
  return level
}

function untilSignal(): AbortSignal {
  const ended = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => ended.abort())
  return ended.signal
}
