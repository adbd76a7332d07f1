import type { Duplex } from 'node:stream'
import { Aedes, type AedesOptions, type Client, type Connection } from 'aedes'
import type { Principal } from '#broker/registry/principal.ts'
import type { ReadingSink } from '#broker/telemetry/reading-sink.ts'
import { maySubscribe, publishChannel, topicLevelLimit } from '#broker/telemetry/topic-rights.ts'
import type { Log } from '#shared/platform/log.ts'
import { guardPacketSize, type PacketSizeGuard } from '#shared/telemetry/packet-size-guard.ts'
import { configTopic, heldDigestIn, parsePace, statementsTopic } from '#shared/telemetry/topics.ts'

export interface MqttServerOptions {
  sink: ReadingSink
  log: Log
  /** The device says that it stops on purpose: by the topic, or by a clean MQTT DISCONNECT. */
  goodbye(device: Principal): void
  /** The device says how often it shows a sign of life while it is idle, seconds. */
  pace?(device: Principal, seconds: number): void
  /** The device is connected from now on: what is said to it arrives. */
  came?(device: Principal): void
  /** The device wants to hear of changes of its statements; `held`: digest in hex of what it holds. Returns how to stop. */
  listening?(device: Principal, held: string, send: (message: Uint8Array) => void): () => void
}

/** From the first byte to a whole CONNECT, and until a stuck reader is cut. Milliseconds. */
const connectTimeout = 5_000
const drainTimeout = 10_000
/** QoS 2 publishes of one client that may await their release. */
const inflightLimit = 16

interface Session {
  readonly device: Principal
  readonly guard: PacketSizeGuard
  client: Client | undefined
  isReady: boolean
  stopListening?: () => void
}

/** What a refused CONNECT is told: MQTT 3.1.1 §3.2.2.3, not authorised; no reason that would help a stranger. */
const notAuthorised = Object.assign(new Error('not authorised'), { returnCode: 5 as const })

/** What aedes keeps of a CONNECT but does not declare. */
interface ClientInside {
  will?: { topic: string } | null
  _will?: { topic: string; retain?: boolean } | null
  _disconnected?: boolean
}

/**
 * aedes, with nothing to forward: what devices publish has gone to the sink by the time that aedes acknowledges it, and there is nobody
 * else to tell. So its publishing, its retained store and its own `$SYS` messages are left out.
 */
class DeviceBroker extends Aedes {
  override publish(_packet: unknown, client: unknown, done?: unknown): void {
    const callback = typeof client === 'function' ? client : done
    if (typeof callback === 'function') callback(null)
  }
}

/**
 * MQTT 3.1.1 for devices on streams whose owner is already known: the principal is who the tunnel says, never what CONNECT says. The
 * client id must be the device's name, and rights come from that name (DESIGN D11, A-49 to ).
 */
export class MqttServer {
  /** Streams cut for too long a packet, and words refused. */
  readonly counters = { oversized: 0, refusedConnects: 0, refusedPublishes: 0, refusedSubscribes: 0 }
  readonly #options: MqttServerOptions
  readonly #aedes: DeviceBroker
  readonly #sessions = new Map<number, Set<Duplex>>()
  readonly #byStream = new WeakMap<object, Session>()

  private constructor(options: MqttServerOptions) {
    this.#options = options
    this.#aedes = new DeviceBroker(this.#aedesOptions())
    const noted = (_client: Client, error: Error): void => options.log.debug({ error: error.message }, 'mqtt connection ended')
    this.#aedes.on('clientError', noted)
    this.#aedes.on('connectionError', noted)
    this.#aedes.on('clientReady', (client) => this.#ready(client))
    this.#aedes.on('clientDisconnect', (client) => this.#disconnected(client))
    this.#aedes.on('subscribe', (subscriptions, client) => this.#subscribed(client, subscriptions))
  }

  static async start(options: MqttServerOptions): Promise<MqttServer> {
    const server = new MqttServer(options)
    await server.#aedes.listen()
    return server
  }

  /** Clients that have been let in. */
  get clients(): number {
    return this.#aedes.connectedClients
  }

  /** Numbers of the devices to which something can be said at this moment. */
  get connected(): number[] {
    const isReady = (streams: Set<Duplex>): boolean => [...streams].some((stream) => this.#byStream.get(stream)?.isReady)
    return [...this.#sessions].flatMap(([id, streams]) => (isReady(streams) ? [id] : []))
  }

  /** Serves one stream that belongs to `device`. */
  accept(device: Principal, stream: Duplex): void {
    const guard = guardPacketSize(stream, () => this.counters.oversized++)
    const session: Session = { device, guard, client: undefined, isReady: false }
    this.#byStream.set(stream, session)
    const own = this.#sessions.get(device.id) ?? new Set()
    this.#sessions.set(device.id, own.add(stream))
    stream.once('close', () => {
      session.stopListening?.()
      own.delete(stream)
      if (own.size === 0 && this.#sessions.get(device.id) === own) this.#sessions.delete(device.id)
    })
    this.#aedes.handle(stream as Connection)
  }

  /** Tells the device that its configuration has changed; one that is not connected asks when it comes. */
  tellConfigChanged(device: Principal): void {
    const message = {
      cmd: 'publish' as const,
      topic: configTopic(device.name),
      payload: '',
      qos: 0 as const,
      retain: false,
      dup: false,
    }
    for (const stream of this.#sessions.get(device.id) ?? []) this.#byStream.get(stream)?.client?.publish(message, () => {})
  }

  /** Cuts every stream of the device, without a word. */
  cut(deviceId: number): void {
    for (const stream of [...(this.#sessions.get(deviceId) ?? [])]) stream.destroy()
  }

  async close(): Promise<void> {
    for (const streams of [...this.#sessions.values()]) for (const stream of [...streams]) stream.destroy()
    await new Promise<void>((done) => this.#aedes.close(() => done()))
  }

  #aedesOptions(): AedesOptions {
    return {
      connectTimeout,
      drainTimeout,
      maxInflightInbound: inflightLimit,
      maxTopicLevels: topicLevelLimit,
      maxClientsIdLength: 64,
      authenticate: (client, _username, _password, done) => {
        const session = this.#sessionOf(client)
        if (session === undefined || !this.#isAcceptable(session.device, client)) {
          this.counters.refusedConnects++
          done(notAuthorised, false)
          return
        }
        session.guard.raise()
        session.client = client
        done(null, true)
      },
      authorizePublish: (client, packet, done) => this.#publish(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => {
        const session = this.#sessionOf(client)
        const granted = session !== undefined && maySubscribe(session.device.name, subscription.topic)
        if (!granted) this.counters.refusedSubscribes++
        // Without a subscription aedes answers 0x80, failure (MQTT 3.1.1 §3.9.3).
        done(null, granted ? subscription : null)
      },
    }
  }

  /** A will is judged at CONNECT, and again by authorizePublish when its hour comes. */
  #isAcceptable(device: Principal, client: Client): boolean {
    if (client.id !== device.name) return false
    const will = (client as ClientInside)._will
    return !will || (will.retain !== true && publishChannel(device.name, will.topic) === 'goodbye')
  }

  #publish(
    client: Client | null,
    packet: { topic: string; payload: Buffer | string; retain: boolean },
    done: (error?: Error | null) => void,
  ): void {
    const session = client ? this.#sessionOf(client) : undefined
    const channel = session && !packet.retain ? publishChannel(session.device.name, packet.topic) : undefined
    if (session === undefined || channel === undefined) {
      this.counters.refusedPublishes++
      // MQTT 3.1.1 has no way to refuse a publish but to end the connection (§3.3.5).
      done(new Error('not permitted to publish there'))
      return
    }
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
    if (channel === 'goodbye') {
      this.#options.goodbye(session.device)
      done(null)
      return
    }
    if (channel === 'pace') {
      const seconds = parsePace(payload.toString('latin1'))
      if (seconds !== undefined) this.#options.pace?.(session.device, seconds)
      done(null)
      return
    }
    const committed =
      channel === 'readings'
        ? this.#options.sink.readings(session.device, payload)
        : this.#options.sink.hostKeys(session.device, payload)
    committed.then(
      () => done(null),
      (error: unknown) => {
        this.#options.log.error({ error, device: session.device.name }, 'not stored, so not acknowledged')
        done(new Error('not stored'))
      },
    )
  }

  /** The one thing that devices are told: their statements, straight to the client, since nothing else is ever forwarded. */
  #subscribed(client: Client, subscriptions: readonly { topic: string }[]): void {
    const session = this.#sessionOf(client)
    const { listening } = this.#options
    if (session === undefined || listening === undefined) return
    const { name } = session.device
    for (const { topic } of subscriptions) {
      const held = heldDigestIn(topic, name)
      if (held === undefined) continue
      session.stopListening?.()
      session.stopListening = listening(session.device, held, (message) => this.#tell(client, statementsTopic(name), message))
    }
  }

  #tell(client: Client, topic: string, message: Uint8Array): void {
    const packet = { cmd: 'publish' as const, topic, payload: Buffer.from(message), qos: 0 as const, retain: false, dup: false }
    client.publish(packet, (error) => {
      if (error) this.#options.log.debug({ error: error.message }, 'a device could not be told its statements')
    })
  }

  #ready(client: Client): void {
    const session = this.#sessionOf(client)
    if (session === undefined) return
    session.isReady = true
    this.#options.came?.(session.device)
  }

  #disconnected(client: Client): void {
    const session = this.#sessionOf(client)
    if (session && session.client === client && (client as ClientInside)._disconnected) this.#options.goodbye(session.device)
  }

  #sessionOf(client: Client): Session | undefined {
    return this.#byStream.get((client as unknown as { conn: object }).conn)
  }
}
