import { createServer, type Server, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { PayloadError } from '#agent/core/reading-payload.ts'
import { AditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import { guardPacketSize, type PacketSizeGuard } from '#shared/telemetry/packet-size-guard.ts'
import { readingNameOf } from '#shared/telemetry/topics.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import './mqtt-numbers.ts'

/** A publisher whose storage failed hears nothing and is cut; it comes back and tries again by itself. */
export interface ReadingSink {
  /** Resolves when the readings are durable. Throws PayloadError for what can never be taken. */
  take(name: string, payload: Uint8Array): Promise<void>
}

export interface LocalMqttCounters {
  accepted: number
  /** Payloads that were no readings: acknowledged, counted, logged, dropped. Asking again would not make them better. */
  refused: number
  lastRefusal: string | undefined
}

/**
 * The MQTT 3.1.1 listener for programs on this machine. It takes publications to `sensors/NAME` and nothing else; PUBACK goes out
 * when the outbox has committed, because aedes acknowledges right after `authorizePublish` (DESIGN D11).
 */
export class LocalMqtt {
  readonly counters: LocalMqttCounters = { accepted: 0, refused: 0, lastRefusal: undefined }
  readonly #sink: ReadingSink
  readonly #log: Log
  readonly #broker: Aedes
  readonly #server: Server
  readonly #sockets = new Map<Socket, PacketSizeGuard>()
  readonly #complainedAbout = new Set<string>()

  private constructor(sink: ReadingSink, log: Log) {
    this.#sink = sink
    this.#log = log
    this.#broker = new Aedes({
      maxClientsIdLength: 256,
      connectTimeout: 10_000,
      authenticate: (client, _name, _password, done) => {
        this.#sockets.get(client.conn as Socket)?.raise()
        done(null, true)
      },
      // aedes keeps what is retained in memory, and hands it to subscribers: we have neither use nor room for it.
      authorizeSubscribe: (_client, _subscription, done) => done(null, null),
      authorizePublish: (client, packet, done) => {
        packet.retain = false
        const repeated = packet.qos === 2 && client ? this.#isRepeated(client, packet) : Promise.resolve(false)
        repeated.then((known) => (known ? undefined : this.#take(packet.topic, packet.payload))).then(() => done(null), done)
      },
    })
    this.#broker.on('clientError', (_client, error) => log.debug({ error: error.message }, 'a local publisher was cut'))
    this.#broker.on('connectionError', () => {})
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
  }

  /** Throws AditError `port-in-use`. */
  static async listen(at: Endpoint, sink: ReadingSink, log: Log): Promise<LocalMqtt> {
    const local = new LocalMqtt(sink, log)
    await new Promise<void>((resolve, reject) => {
      local.#server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(at, error)))
      local.#server.listen({ host: at.address, port: at.port }, resolve)
    })
    await local.#broker.listen()
    return local
  }

  get address(): Endpoint {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address : { address: '', port: 0 }
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    await new Promise<void>((resolve) => this.#broker.close(() => resolve()))
    for (const socket of this.#sockets.keys()) socket.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    // aedes itself would gather up to 256 MB for one packet.
    const guard = guardPacketSize(socket, () => {
      this.counters.refused += 1
      this.counters.lastRefusal = 'an MQTT packet that is longer than permitted'
    })
    this.#sockets.set(socket, guard)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    this.#broker.handle(socket)
  }

  /** A QoS 2 publication that came before and waits for its PUBREL: it is committed already. */
  async #isRepeated(client: unknown, packet: unknown): Promise<boolean> {
    const { persistence } = this.#broker as unknown as { persistence: IncomingStore }
    return persistence.incomingGetPacket(client, packet).then(
      () => true,
      () => false,
    )
  }

  async #take(topic: string, payload: Uint8Array | string): Promise<void> {
    const name = readingNameOf(topic)
    if (name === undefined) throw new Error(`topic ${topic.slice(0, 80)} is not sensors/NAME`)
    try {
      await this.#sink.take(name, typeof payload === 'string' ? Buffer.from(payload) : payload)
      this.counters.accepted += 1
    } catch (error) {
      if (!(error instanceof PayloadError)) throw error
      this.counters.refused += 1
      this.counters.lastRefusal = `${topic.slice(0, 140)}: ${error.message}`
      this.#complain(topic, error.message)
    }
  }

  /** Once a topic; a sensor that sends nonsense each second shall not fill the log. */
  #complain(topic: string, why: string): void {
    if (this.#complainedAbout.size > 1000) this.#complainedAbout.clear()
    if (this.#complainedAbout.has(topic)) return
    this.#complainedAbout.add(topic)
    this.#log.warn({ topic, why }, 'a local publication is no reading and was dropped')
  }
}

interface IncomingStore {
  incomingGetPacket(client: unknown, packet: unknown): Promise<unknown>
}

function listenError({ address, port }: Endpoint, error: NodeJS.ErrnoException): AditError {
  const place = `${address}:${port}`
  if (error.code === 'EADDRINUSE')
    return new AditError(
      'port-in-use',
      `Port ${place} for local readings is in use by another program.`,
      'Choose another with --mqtt ADDR:PORT, or go without by --mqtt off.',
      { cause: error },
    )
  return new AditError(
    'config-invalid',
    `Local readings cannot be listened for at ${place}: ${error.code ?? error.message}.`,
    'Choose another place with --mqtt ADDR:PORT, or go without by --mqtt off.',
    { cause: error },
  )
}
