import type { FastifyBaseLogger } from 'fastify'
import { devicesBehind } from '#broker/api/devices-behind.ts'
import { startApi } from '#broker/api/start-api.ts'
import type { EnrolmentRules } from '#broker/enrolment/enrolment-rules.ts'
import { StatementSource } from '#broker/fleet/statement-source.ts'
import { Gateway } from '#broker/gateway/gateway.ts'
import type { GatewayOptions } from '#broker/gateway/gateway-parts.ts'
import type { IpsecSettings } from '#broker/gateway/ipsec.ts'
import type { StreamLimits } from '#broker/gateway/stream-door.ts'
import { openStreams, type StreamPlaces, type StreamPorts } from '#broker/gateway/stream-ports.ts'
import { TimestampSource } from '#broker/gateway/timestamp-source.ts'
import type { GatewayCounters } from '#broker/gateway/view.ts'
import type { AuthorityFace } from '#broker/identity/authority.ts'
import { OutsiderDesk } from '#broker/outsiders/outsider-desk.ts'
import { listenForOutsiders, type OutsiderListener, type OutsiderPlace } from '#broker/outsiders/outsider-listener.ts'
import { RENEWAL_GRACE_DAYS, SHELF_DAYS } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import { systemTimers, type Timers } from '#shared/platform/timers.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

export interface BrokerConfig {
  /** Where UDP is bound: literal address, undefined for all of both families; port 0 picks a free one. */
  udp: { address?: string; port: number }
  /** `ADDR:PORT` or `[V6]:PORT` of the HTTPS API; port 0 picks a free one. */
  api: string
  /** Where STUN is answered besides, by RFC 5780: one endpoint of each family at most. */
  stunAlternates?: readonly Endpoint[]
  /** Where datagrams are taken from streams, besides WebSockets at the API. */
  streams?: StreamPlaces & { limits?: Partial<StreamLimits> }
  /** IKEv2 and ESP on the same port; undefined: the noise suite alone. */
  ipsec?: IpsecSettings
  /** Outer UDP endpoints that agents are told (a broker behind DNAT); empty: what they reached the API by. */
  publicEndpoints: readonly string[]
  /** Where lists of revoked certificates and OCSP are answered over plain HTTP besides the API. */
  outsiders?: OutsiderPlace | undefined
  /** TCP port of MQTT at the broker's inner addresses: 1883. */
  mqttPort: number
  /** Seconds between keepalives of an agent that has not measured its NAT: 25. */
  keepaliveSeconds: number
  /** Largest inner packet, bytes: 1280. */
  innerMtu: number
  /** How long an expired certificate may still renew itself, in days; 400 unless said otherwise. */
  renewDays?: number
  /** Likewise where it is the only one that its device ever had; 4000 unless said otherwise. */
  shelfDays?: number
  /** Left out: the standard ones. */
  enrolment?: EnrolmentRules
  version: string
  /** Another road for packets than the portable one, and what the kernel may do on it. */
  road?: Pick<GatewayOptions, 'lane' | 'hostNetwork' | 'host'>
}

export interface BrokerParts {
  /** Open, under the data folder's lock; `close` of the broker leaves it open. */
  registry: Registry
  authority: AuthorityFace
  suite: Suite
  clock: Clock
  log: Log
  timers?: Timers
}

/** What `adit-broker status` shows. */
export interface BrokerStatus {
  version: string
  /** "address:port" of UDP, and the API's URL. */
  listen: string
  api: string
  /** The broker's inner addresses. */
  inner: readonly string[]
  /** Unrevoked devices, and how many of them are up. */
  devices: number
  devicesUp: number
  /** Live tunnel sessions of devices and operators. */
  sessions: number
  counters: GatewayCounters
}

export interface RunningBroker {
  /** `websocket` and `tcp`: where streams are taken besides the API's port, if anywhere. */
  readonly ready: { listen: string; api: string; websocket?: string; tcp?: string; pki?: string }
  readonly gateway: Gateway
  status(): BrokerStatus
  /** Takes no new work and writes what is under way: the answer to SIGTERM. */
  drain(): Promise<void>
  /** Closes every port. Harmless after `drain`; without it nothing unacknowledged is written. */
  close(): Promise<void>
}

/** Starts the gateway, MQTT and the API. Throws AditError `port-in-use` or `config-invalid`, and leaves nothing open then. */
export async function startBroker(config: BrokerConfig, parts: BrokerParts): Promise<RunningBroker> {
  const { registry, authority, suite, clock, log, timers = systemTimers } = parts
  const { version, mqttPort, publicEndpoints, keepaliveSeconds, innerMtu } = config
  const timestamps = await TimestampSource.open(registry.settings, clock, log)
  const statements = await StatementSource.open({ registry, authority, suite, clock })
  const gateway = await Gateway.open({
    registry,
    suite,
    clock,
    timers,
    log,
    staticKey: authority.tunnelKey,
    nextTimestamp: () => timestamps.next(),
    bind: config.udp,
    ...config.road,
    innerMtu,
    stunAlternates: config.stunAlternates ?? [],
    mqttPort,
    statements,
    behind: (id) => devicesBehind({ authority, registry, suite }, id),
    ...(config.streams?.limits && { streamLimits: config.streams.limits }),
    ...(config.ipsec && { ipsec: { authority, settings: config.ipsec } }),
  })
  let streams: StreamPorts | undefined
  let outsiders: OutsiderListener | undefined
  try {
    const desk = new OutsiderDesk({ registry, authority, suite, clock })
    outsiders = config.outsiders && (await listenForOutsiders(config.outsiders, desk, log))
    const ipsec = config.ipsec !== undefined
    streams = await openStreams(config.streams ?? {}, {
      door: gateway.streams,
      udp: gateway.listen,
      ipsec,
      authority,
      timers,
      log,
    })
    const settings = {
      listen: config.api,
      version,
      publicEndpoints,
      mqttPort,
      keepaliveSeconds,
      innerMtu,
      ipsec,
      renewDays: config.renewDays ?? RENEWAL_GRACE_DAYS,
      shelfDays: config.shelfDays ?? SHELF_DAYS,
      ...(config.enrolment && { enrolment: config.enrolment }),
      streams: streams.advertised,
    }
    const api = await startApi({
      registry,
      authority,
      gateway,
      streams: gateway.streams,
      settings,
      statements,
      outsiders: desk,
      suite,
      clock,
      log: log as FastifyBaseLogger,
    })
    const stopFollowing = authority.onChange(() => gateway.authoritiesChanged())
    return running({ gateway, api, streams, outsiders, registry, version, stopFollowing })
  } catch (error) {
    await streams?.close()
    await outsiders?.close()
    await gateway.drain()
    await gateway.close()
    throw error
  }
}

function running(parts: {
  gateway: Gateway
  api: Awaited<ReturnType<typeof startApi>>
  streams: StreamPorts
  outsiders: OutsiderListener | undefined
  registry: Registry
  version: string
  stopFollowing(): void
}): RunningBroker {
  const { gateway, api, streams, outsiders, registry, version, stopFollowing } = parts
  let drained: Promise<void> | undefined
  const drain = (): Promise<void> => {
    stopFollowing()
    drained ??= Promise.all([api.close(), streams.close(), outsiders?.close()]).then(() => gateway.drain())
    return drained
  }
  return {
    ready: { listen: gateway.listen, api: api.url, ...streams.places, ...(outsiders && { pki: outsiders.url }) },
    gateway,
    drain,
    async close() {
      await drain()
      await gateway.close()
    },
    status() {
      const counters = gateway.counters()
      let devices = 0
      let devicesUp = 0
      for (const device of registry.directory.all('device')) {
        if (device.revokedAt !== undefined) continue
        devices++
        if (gateway.presence(device).state === 'up') devicesUp++
      }
      const { listen, inner } = gateway
      return { version, listen, api: api.url, inner, devices, devicesUp, sessions: counters.sessions, counters }
    },
  }
}
