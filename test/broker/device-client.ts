/** A device or operator for tests: the real agent core on a real UDP socket, without state folder, API or services. */

import type { AgentConfig } from '#agent/core/agent-config.ts'
import { AgentCore } from '#agent/core/agent-core.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { systemTimers, type Timer } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import { milliseconds, type WallTime } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { TimestampFloor } from '#shared/tunnel/tai64n.ts'

export interface ClientOptions {
  name: string
  role?: 'device' | 'operator'
  tunnelKey?: KeyPair
  addresses: readonly string[]
  broker: { tunnelKey: Uint8Array; endpoint: string; inner: readonly string[]; routes: readonly string[] }
  /** The address of its socket: 127.0.0.1. */
  bind?: string
  /** Sees each datagram that goes out; returns false to keep it. */
  outgoing?(datagram: Uint8Array): boolean
}

export class DeviceClient {
  readonly core: AgentCore
  readonly tunnelKey: KeyPair
  #socket: UdpSocket | undefined
  #timer: Timer | undefined
  readonly #up: Promise<void>
  #isUp: () => void = () => undefined

  #bindTo: string

  private constructor(options: ClientOptions) {
    this.#bindTo = options.bind ?? '127.0.0.1'
    this.tunnelKey = options.tunnelKey ?? nativeSuite.x25519.generate()
    this.#up = new Promise((resolve) => {
      this.#isUp = resolve
    })
    const floor = new TimestampFloor({ wall: () => systemClock.wall() as WallTime, reserve: () => undefined })
    this.core = new AgentCore({
      suite: nativeSuite,
      clock: systemClock,
      tunnelKey: this.tunnelKey,
      ports: {
        send: (datagram, to) => {
          if (options.outgoing?.(datagram) !== false) this.#socket?.send(datagram, to)
        },
        nextTimestamp: () => floor.next(),
        wake: (at) => this.#wake(at),
        event: (event) => {
          if (event.kind === 'up') this.#isUp()
        },
      },
    })
  }

  static async start(options: ClientOptions): Promise<DeviceClient> {
    const client = new DeviceClient(options)
    await client.#bind()
    const { broker } = options
    const config: AgentConfig = {
      name: options.name,
      role: options.role ?? 'device',
      id: '00'.repeat(16),
      fleet: { prefix: broker.routes[0]! },
      broker: {
        tunnelKey: Buffer.from(broker.tunnelKey).toString('base64'),
        endpoints: [broker.endpoint],
        inner: broker.inner,
        mqttPort: 1883,
      },
      inner: { addresses: options.addresses, mtu: 1280 },
      keepaliveSeconds: 25,
      time: systemClock.wall(),
      certificate: { notAfter: systemClock.wall() + 86_400_000 },
      routes: broker.routes,
    }
    client.core.configure(config, [endpointOf(broker.endpoint)])
    return client
  }

  get keyHex(): string {
    return toHex(this.tunnelKey.publicKey)
  }

  /** The outer address that it sends from. */
  get local(): Endpoint {
    return this.#socket!.local
  }

  /** Resolves when the tunnel carries data. */
  up(): Promise<void> {
    return this.#up
  }

  /** Moves to another outer port, and address. */
  async move(address = this.#bindTo): Promise<void> {
    this.#bindTo = address
    await this.#socket?.close()
    await this.#bind()
  }

  /** A TCP connection inside the tunnel; rejects where it is refused. */
  connect(address: string, port: number): Promise<TcpSocket> {
    const socket = this.core.netstack.connect({ address, port })
    return new Promise((resolve, reject) => {
      socket.once('connect', () => resolve(socket))
      // Later errors (the test's end among them) are nobody's concern.
      socket.on('error', reject)
    })
  }

  async stop(): Promise<void> {
    this.core.stop()
    this.#timer?.clear()
    await this.#socket?.close()
    this.#socket = undefined
  }

  async #bind(): Promise<void> {
    this.#socket = await UdpSocket.bind({
      address: this.#bindTo,
      port: 0,
      onDatagram: (datagram, from) => this.core.receive(datagram, from),
    })
  }

  #wake(at: number): void {
    this.#timer?.clear()
    const delay = milliseconds(Math.max(0, Math.ceil(at - systemClock.now())))
    this.#timer = systemTimers.setTimer(delay, () => this.core.expire(systemClock.now()))
  }
}

function endpointOf(text: string): Endpoint {
  const at = text.lastIndexOf(':')
  return { address: text.slice(0, at).replace(/[[\]]/g, ''), port: Number(text.slice(at + 1)) }
}
