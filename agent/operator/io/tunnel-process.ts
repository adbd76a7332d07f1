import { directOptions } from '#agent/io/direct-options.ts'
import { FleetKeeper } from '#agent/io/fleet-keeper.ts'
import { Renewal } from '#agent/io/renewal.ts'
import { Tunnel } from '#agent/io/tunnel.ts'
import { BrokerTunnel } from '#agent/operator/io/broker-tunnel.ts'
import { DirectDevices } from '#agent/operator/io/direct-devices.ts'
import { KnownDevices } from '#agent/operator/io/known-devices.ts'
import { openOperator } from '#agent/operator/io/operator-identity.ts'
import { TunnelServer } from '#agent/operator/io/tunnel-server.ts'
import { tunnelSocketOf } from '#agent/operator/io/tunnel-socket.ts'
import { OperatorApi } from '#agent/operator/operator-api.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { toAditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { fastSuite } from '#shared/platform/fast-suite.ts'
import { makePrivateDirectory } from '#shared/platform/files.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { createLog } from '#shared/platform/log.ts'
import { backgroundTimers, systemTimers } from '#shared/platform/timers.ts'
import { seconds, type WallTime } from '#shared/time/instant.ts'

/** How long the process stays after its last user (DESIGN §6). */
const idle = seconds(60)

/**
 * `adit tunnel-process`: the one process of a user that holds the tunnel. Two with one static key would steal each other's session, so
 * the state folder's lock comes first. Tells the command that started it, over its IPC channel, that it listens or why it cannot.
 */
export async function runTunnelProcess(stateFolder: string): Promise<void> {
  try {
    await serve(stateFolder)
    tell({ ok: true })
  } catch (error) {
    tell(toAditError(error).toJSON())
    throw error
  }
}

async function serve(stateFolder: string): Promise<void> {
  const log = createLog('info', 'adit')
  const suite = fastSuite(nativeSuite, log)
  await makePrivateDirectory(stateFolder)
  // Before the floor is read: the process that leaves may still raise it.
  const lock = await lockFolder(stateFolder, 'the tunnel')
  const operator = await openOperator(stateFolder, log, 'owner')
  const { folder: state, keys, floors } = operator
  const fleet = await FleetKeeper.open({
    suite: nativeSuite,
    folder: state,
    time: floors.time,
    tunnelKey: keys.tunnel.publicKey,
    config: operator.record.config,
    log,
  })
  const known = await KnownDevices.open(`${stateFolder}/known-devices.json`, log)
  // The tunnel may be up before those who hear of it are made.
  let direct: DirectDevices | undefined
  let face: BrokerTunnel | undefined
  // A laptop that is used keeps its certificate young, as a device does.
  const onRenewed = (): void => tunnel.renewed()
  const renewal = new Renewal({ suite: nativeSuite, timers: backgroundTimers, log, identity: operator, onRenewed })
  const tunnel: Tunnel = await Tunnel.open({
    suite: await suite,
    clock: systemClock,
    timers: systemTimers,
    log,
    folder: operator.folder,
    keys: operator.keys,
    record: operator.record,
    floors: operator.floors,
    api: () => operator.api(),
    root: operator.root,
    proxy: operator.proxy,
    provenAddresses: () => operator.provenAddresses,
    speaks: operator.record.suite ?? 'noise',
    ike: () => operator.ike(),
    portMapping: true,
    heard: async (config) => {
      if (config.certificate.renewWithinSeconds !== undefined) renewal.hurry(config.certificate.renewWithinSeconds)
      const moved = await operator.followRoots(config)
      if (moved) tunnel.renewed()
      return moved
    },
    refused: () => renewal.refused(),
    direct: (local, mapped) => {
      const time = (): WallTime => floors.time.now()
      const options = directOptions('operator', { trust: fleet.trust, time, local, mapped, log })
      return {
        ...options,
        event: (event) => {
          options.event?.(event)
          direct?.event(event)
        },
      }
    },
    onEvent: (event) => {
      log.info(event, 'tunnel')
      if (event.kind !== 'up') return
      face?.cameUp()
      renewal.hint()
    },
  })
  const { publicKey: tunnelKey } = keys.tunnel
  direct = new DirectDevices({ tunnel, trust: fleet.trust, tunnelKey, known, timers: systemTimers, clock: systemClock, log })
  face = new BrokerTunnel({
    tunnel,
    fleet,
    direct,
    api: new OperatorApi({ request: (request) => operator.https().request(request) }, operator.record.api),
    timers: systemTimers,
    clock: systemClock,
    knownHosts: `${stateFolder}/known_hosts`,
  })
  const leave = async (): Promise<void> => {
    renewal.stop()
    await server.close()
    await tunnel.close()
    await fleet.saved()
    await known.saved()
    operator.close()
    await lock.release()
    process.exit(0)
  }
  const server: TunnelServer = new TunnelServer({ tunnel: face, timers: backgroundTimers, idle, onLeave: () => void leave() })
  const { path, folder } = tunnelSocketOf(stateFolder)
  if (folder !== stateFolder) await makePrivateDirectory(folder)
  await server.listen(path)
  renewal.start()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void leave())
  // The terminal of the command that started us may go; the tunnel stays.
  process.on('SIGHUP', () => {})
}

function tell(message: object): void {
  if (process.send === undefined || !process.connected) return
  process.send(message, () => process.connected && process.disconnect())
}
