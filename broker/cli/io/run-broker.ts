import { type OpenFolder, openFolder, rememberListening } from '#broker/admin/data-folder.ts'
import { serveAdmin } from '#broker/admin/io/admin-server.ts'
import { perform } from '#broker/admin/operations.ts'
import { type RunningBroker, startBroker } from '#broker/broker.ts'
import { type Config, trySplitListen } from '#broker/config.ts'
import { parseEndpointText } from '#broker/endpoint-text.ts'
import { compressOnVectors } from '#shared/crypto/native/blake2s.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { fastSuite } from '#shared/platform/fast-suite.ts'
import { createLog, type Log } from '#shared/platform/log.ts'
import { backgroundTimers } from '#shared/platform/timers.ts'
import { TunNetwork } from '#shared/platform/tun-network/tun-network.ts'
import { version } from '#shared/platform/version.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { fastRoad } from './fast-road.ts'

export interface Ready {
  event: 'ready'
  listen: string
  api: string
  websocket?: string
  tcp?: string
  pki?: string
}

/**
 * The broker from lock to exit: takes the data folder, opens the ports, answers the administrator, and on SIGTERM or SIGINT drains
 * and gives everything back. Resolves after that; rejects where it could not start, having left nothing open.
 */
export async function runBroker(dataDir: string, config: Config, onReady: (ready: Ready) => void): Promise<void> {
  const log = createLog(config.logLevel, 'adit-broker')
  const stopped = stopSignal()
  const folder = await openFolder(dataDir, config, log, { serve: true })
  try {
    await TunNetwork.recover({ folder: dataDir, log })
    const broker = await start(folder, config, dataDir, log)
    try {
      await serve(dataDir, folder, config, broker, log, async () => {
        onReady({ event: 'ready', ...broker.ready })
        log.info({ ...broker.ready, data: dataDir, version }, 'ready')
        log.info({ signal: await stopped }, 'draining')
      })
      await broker.drain()
    } finally {
      await broker.close()
    }
  } finally {
    await folder.close()
  }
  log.info({}, 'stopped')
}

async function start({ registry, authority }: OpenFolder, config: Config, dataDir: string, log: Log): Promise<RunningBroker> {
  const { ipsec, websocket } = config
  compressOnVectors()
  const suite = await fastSuite(nativeSuite, log)
  return startBroker(
    {
      udp: trySplitListen(config.listen) ?? { port: 0 },
      stunAlternates: config.stunAlternates.flatMap((text) => parseEndpointText(text) ?? []),
      ...(ipsec.enabled && {
        ipsec: { ...ipsec, port500: trySplitListen(ipsec.port500 ?? ''), dns: ipsec.dns.map(parseAddress) },
      }),
      streams: {
        tcp: ipsec.tcp === 'auto' || ipsec.tcp === 'off' ? ipsec.tcp : trySplitListen(ipsec.tcp),
        websocket: trySplitListen(websocket.listen ?? ''),
        pem: websocket.pem,
        public: websocket.public,
      },
      api: config.api.startsWith(':') ? `[::]${config.api}` : config.api,
      publicEndpoints: config.publicEndpoints,
      outsiders: trySplitListen(config.pki.http ?? ''),
      mqttPort: config.mqttPort,
      keepaliveSeconds: Math.round(config.keepalive / 1_000),
      innerMtu: config.innerMtu ?? (config.tun === undefined ? 1_280 : 1_420),
      renewDays: config.renewDays,
      shelfDays: config.shelfDays,
      enrolment: config.enrolment,
      road: fastRoad(config, registry.fleet, dataDir, log),
      version,
    },
    { registry, authority, suite, clock: systemClock, log },
  )
}

/** Answers the administrator and prunes readings for as long as `work` takes. */
async function serve(
  dataDir: string,
  folder: OpenFolder,
  config: Config,
  broker: RunningBroker,
  log: Log,
  work: () => Promise<void>,
): Promise<void> {
  await rememberListening(folder.registry, broker.ready)
  const { gateway } = broker
  const office = folder.office(config, {
    listening: broker.ready,
    status: () => ({ ...broker.status() }),
    tunnel: (principal) => ({ presence: gateway.presence(principal), esp: gateway.securityAssociations(principal) }),
  })
  const admin = await serveAdmin(dataDir, (verb, args) => perform(office, verb, args), log)
  const retention = folder.registry.retain({
    keep: config.telemetryKeep,
    ...(config.telemetryRows > 0 ? { rows: config.telemetryRows } : {}),
    clock: systemClock,
    timers: backgroundTimers,
    log,
  })
  try {
    await work()
  } finally {
    await retention.close()
    await admin.close()
  }
}

/** The first SIGTERM or SIGINT. A second one ends the process at once, as an impatient person means it. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        resolve(signal)
        process.once(signal, () => process.exit(signal === 'SIGINT' ? 130 : 143))
      })
    }
  })
}
