/**
 * Many devices in one process of their own: the real agent core, its UDP socket, a netstack TCP connection and an MQTT session for each.
 * The first line on standard input is a `FleetOrder`; each later one asks something, and is answered by one line of JSON.
 */
import { createInterface } from 'node:readline'
import type { AgentConfig } from '#agent/core/agent-config.ts'
import { AgentCore } from '#agent/core/agent-core.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { systemTimers, type Timer } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import { encodeBatch } from '#shared/telemetry/reading.ts'
import { deviceTopic } from '#shared/telemetry/topics.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { elapsed, milliseconds, seconds, type WallTime } from '#shared/time/instant.ts'
import { TimestampFloor } from '#shared/tunnel/tai64n.ts'
import { MqttSession, type PublishPacket, publishPacket } from '#test/bench/mqtt-session.ts'

export interface FleetOrder {
  broker: { endpoint: string; tunnelKey: string; inner: string[]; routes: string[] }
  devices: { name: string; privateKey: string; addresses: string[] }[]
  /** Publishes that each device keeps on its way (the agent's uplink: 4), and readings in each. */
  inFlight: number
  perBatch: number
}

export interface PublishAnswer {
  /** Acknowledged within the time. */
  publishes: number
  readings: number
  ms: number
  /** From publish to PUBACK, ms. */
  p50: number
  p99: number
  cpuMicros: number
}

const names = ['system/temperature', 'system/load', 'sensors/door', 'sensors/humidity']
/** Above 65,535, so that every `seq` of the run takes the same five bytes: 1a and 32 bits (RFC 8949 §3). */
const firstSeq = 100_000
const dice = uniform((length) => nativeSuite.random(length))
/** Devices that connect at once. */
const together = 50

class Device {
  readonly name: string
  readonly core: AgentCore
  session: MqttSession | undefined
  #socket: UdpSocket | undefined
  #timer: Timer | undefined
  #up: (() => void) | undefined
  #nextSeq = firstSeq
  readonly #order: FleetOrder
  readonly #backoff = new Backoff({ base: seconds(1), cap: seconds(30) }, dice)

  constructor(order: FleetOrder, { name, privateKey, addresses }: FleetOrder['devices'][number]) {
    this.name = name
    this.#order = order
    const floor = new TimestampFloor({ wall: () => systemClock.wall() as WallTime, reserve: () => undefined })
    this.core = new AgentCore({
      suite: nativeSuite,
      clock: systemClock,
      tunnelKey: nativeSuite.x25519.pair(fromHex(privateKey)),
      netstack: { defer: (task) => setImmediate(task) },
      ports: {
        send: (datagram, to) => void this.#socket?.send(datagram, to),
        nextTimestamp: () => floor.next(),
        wake: (at) => {
          this.#timer?.clear()
          const delay = milliseconds(Math.max(0, Math.ceil(elapsed(systemClock.now(), at))))
          this.#timer = systemTimers.setTimer(delay, () => this.core.expire(systemClock.now()))
        },
        event: ({ kind }) => {
          if (kind === 'up') this.#up?.()
        },
      },
    })
    this.#config = configOf(order.broker, name, addresses)
  }

  readonly #config: AgentConfig

  async start(): Promise<void> {
    this.#socket = await UdpSocket.bind({
      address: '127.0.0.1',
      port: 0,
      onDatagram: (datagram, from) => this.core.receive(datagram, from),
    })
    const up = new Promise<void>((resolve) => {
      this.#up = resolve
    })
    const [address, port] = this.#order.broker.endpoint.split(':')
    this.core.configure(this.#config, [{ address: address!, port: Number(port) }])
    await up
    await this.connect()
  }

  async connect(): Promise<void> {
    const stream = this.core.netstack.connect({ address: this.#order.broker.inner[0]!, port: this.#config.broker.mqttPort })
    stream.setNoDelay(true)
    const session = await MqttSession.open(stream, this.name)
    this.session = session
    session.onEnd = () => this.#connectAgain()
  }

  /** With the patience of the agent's uplink. */
  #connectAgain(): void {
    systemTimers.setTimer(this.#backoff.next(), () => this.connect().catch(() => this.#connectAgain()))
  }

  /** The next batch: a packet made once, of which only the `seq` change. */
  nextPublish(packet: BatchPacket): PublishPacket {
    for (const at of packet.seqAt) packet.publish.bytes.writeUInt32BE(this.#nextSeq++, at)
    return packet.publish
  }

  newPacket(): BatchPacket {
    const { perBatch } = this.#order
    const readings = Array.from({ length: perBatch }, (_, n) => ({
      seq: firstSeq + n,
      name: names[n % names.length]!,
      value: 20 + Math.sin(n),
      unit: 'C',
      at: 1_790_000_000_000 + n * 1_000,
      quality: 0,
    }))
    const publish = publishPacket(deviceTopic(this.name, 'readings'), encodeBatch(1, readings))
    const seqAt = readings.map(({ seq }) => publish.bytes.indexOf(Buffer.of(0x1a, 0, 1, seq >> 8, seq & 255)) + 1)
    return { publish, seqAt }
  }
}

interface BatchPacket {
  readonly publish: PublishPacket
  readonly seqAt: readonly number[]
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const order = JSON.parse((await lines.next()).value as string) as FleetOrder
const fleet = order.devices.map((device) => new Device(order, device))
for (let at = 0; at < fleet.length; at += together)
  await Promise.all(fleet.slice(at, at + together).map((device) => device.start()))
say({ connected: fleet.length })
for (;;) {
  const { value, done } = await lines.next()
  if (done) process.exit(0)
  const [word, number] = (value as string).split(' ')
  if (word === 'publish') say(await publishFor(Number(number)))
}

/** Every device publishes for `ms`: `inFlight` at a time, the next one when one is acknowledged. */
async function publishFor(ms: number): Promise<PublishAnswer> {
  const cpu = process.cpuUsage()
  const latencies: number[] = []
  const end = performance.now() + ms
  await Promise.all(
    fleet.flatMap((device) =>
      Array.from({ length: order.inFlight }, () => {
        const packet = device.newPacket()
        return new Promise<void>((resolve) => {
          const next = (): void => {
            const begun = performance.now()
            device.session!.publish(device.nextPublish(packet), () => {
              const now = performance.now()
              if (now >= end) return resolve()
              latencies.push(now - begun)
              next()
            })
          }
          next()
        })
      }),
    ),
  )
  const { user, system } = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.floor((latencies.length - 1) * share)] ?? Number.NaN
  const publishes = latencies.length
  return { publishes, readings: publishes * order.perBatch, ms, p50: at(0.5), p99: at(0.99), cpuMicros: user + system }
}

function configOf(broker: FleetOrder['broker'], name: string, addresses: readonly string[]): AgentConfig {
  const now = systemClock.wall()
  const tunnelKey = Buffer.from(broker.tunnelKey, 'hex').toString('base64')
  return {
    name,
    role: 'device',
    id: '00'.repeat(16),
    fleet: { prefix: broker.routes[0]! },
    broker: { tunnelKey, endpoints: [broker.endpoint], inner: broker.inner, mqttPort: 1883 },
    inner: { addresses, mtu: 1280 },
    keepaliveSeconds: 25,
    time: now,
    certificate: { notAfter: now + 86_400_000 },
    routes: broker.routes,
  }
}

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
