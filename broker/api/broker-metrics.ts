import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry as MetricsRegistry } from 'prom-client'
import type { GatewayView } from '#broker/gateway/view.ts'
import type { Registry } from '#broker/registry/registry.ts'

interface Sources {
  gateway: Pick<GatewayView, 'counters'>
  registry: Pick<Registry, 'directory' | 'dataUse' | 'clones'>
}

/** Devices that have a series of their own. */
const namedDevices = 50

/** Upper bounds of the request histogram, seconds. */
const buckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60]

/** Everything that Prometheus is told, read from its owners at each scrape. */
export class BrokerMetrics {
  readonly #registry = new MetricsRegistry()
  readonly #requests: Histogram<'route' | 'status'>

  constructor({ gateway, registry }: Sources) {
    this.#dataUse({ gateway, registry })
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    this.#requests = new Histogram({
      name: 'adit_api_request_seconds',
      help: 'Time to answer API requests',
      labelNames: ['route', 'status'],
      buckets,
      registers,
    })
    new Gauge({
      name: 'adit_principals',
      help: 'Principals in the registry that are not revoked',
      labelNames: ['kind'],
      registers,
      collect() {
        for (const kind of ['device', 'operator', 'station'] as const) this.set({ kind }, count(registry.directory.all(kind)))
      },
    })
    new Gauge({
      name: 'adit_clones_held',
      help: 'Copies of devices that are held apart and wait for a person',
      registers,
      collect() {
        this.set(registry.clones.open)
      },
    })
    for (const [name, help, read] of gauges) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read(gateway.counters()))
        },
      })
    }
    for (const [name, help, read] of totals) {
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset()
          this.inc(read(gateway.counters()))
        },
      })
    }
    new Counter({
      name: 'adit_drops_total',
      help: 'Packets dropped, by reason',
      labelNames: ['reason'],
      registers,
      collect() {
        this.reset()
        for (const [reason, n] of Object.entries(gateway.counters().drops)) this.inc({ reason }, n)
      },
    })
  }

  /** Of the costliest few by name, and of all others together: a fleet of thousands must not make thousands of series. */
  #dataUse({ registry }: Sources): void {
    new Gauge({
      name: 'adit_device_outer_bytes',
      help: 'Bytes of each tunnel at the interface this month, with IP and UDP headers; device "other": all but the costliest',
      labelNames: ['device'],
      registers: [this.#registry],
      collect() {
        this.reset()
        const uses: [name: string, bytes: number][] = []
        for (const { id, name, revokedAt } of registry.directory.all('device')) {
          const use = revokedAt === undefined ? registry.dataUse.of(id) : undefined
          if (use) uses.push([name, use.monthBytes])
        }
        uses.sort(([, a], [, b]) => b - a)
        for (const [device, bytes] of uses.slice(0, namedDevices)) this.set({ device }, bytes)
        this.set(
          { device: 'other' },
          uses.slice(namedDevices).reduce((sum, [, bytes]) => sum + bytes, 0),
        )
      },
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  /** `route` is the pattern, never the path: a stranger must not be able to make series. */
  answered(route: string | undefined, status: number, elapsedMs: number): void {
    this.#requests.observe({ route: route ?? 'unknown', status: String(status) }, elapsedMs / 1000)
  }
}

type Read = (counters: ReturnType<GatewayView['counters']>) => number

const gauges: readonly [name: string, help: string, read: Read][] = [
  ['adit_sessions', 'Devices and operators with a live session', (c) => c.sessions],
  ['adit_esp_sessions', 'Those of them in the esp suite', (c) => c.espSessions],
  ['adit_ike_half_open', 'IKE SAs whose peers have not proven who they are', (c) => c.halfOpen],
  ['adit_associations', 'Associations in memory', (c) => c.associations],
  ['adit_flows', 'Flows that the filter knows', (c) => c.flows],
  ['adit_streams', 'WebSockets and TCP connections that bear datagrams', (c) => c.streams],
  ['adit_mqtt_clients', 'MQTT clients inside tunnels', (c) => c.mqttClients],
]

const totals: readonly [name: string, help: string, read: Read][] = [
  ['adit_outer_received_datagrams_total', 'Outer datagrams received', (c) => c.outerReceived],
  ['adit_outer_sent_datagrams_total', 'Outer datagrams sent through tunnels', (c) => c.outerSent],
  ['adit_stun_answered_total', 'STUN requests answered', (c) => c.stunAnswered],
  ['adit_handshakes_total', 'Handshakes completed', (c) => c.handshakes],
  ['adit_failed_negotiations_total', 'Negotiations of IKE that came to nothing', (c) => c.failedNegotiations],
  ['adit_readings_total', 'Readings stored', (c) => c.readings],
  ['adit_duplicate_readings_total', 'Readings that had been stored before', (c) => c.duplicateReadings],
]

function count(principals: Iterable<{ revokedAt?: number | undefined }>): number {
  let n = 0
  for (const { revokedAt } of principals) if (revokedAt === undefined) n++
  return n
}
