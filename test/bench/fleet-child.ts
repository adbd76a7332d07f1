/**
 * Many devices in one process of their own: the real agent core, a netstack TCP connection and an MQTT session each, over one UDP socket for
 * each. Arguments: JSON of `FleetOrder`. Prints a line of JSON for each answer; a line on standard input is an order.
 */
import { MqttClient } from 'mqtt'
import { fromHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { encodeBatch } from '#shared/telemetry/reading.ts'
import { deviceTopic } from '#shared/telemetry/topics.ts'
import { DeviceClient } from '#test/broker/device-client.ts'

export interface FleetOrder {
  broker: { endpoint: string; tunnelKey: string; inner: string[]; routes: string[] }
  devices: { name: string; privateKey: string; addresses: string[] }[]
  /** Publishes each device keeps on its way, of `perBatch` readings, for `seconds` once told `publish`. */
  inFlight: number
  perBatch: number
}

const order = JSON.parse(await firstLine()) as FleetOrder
const broker = { ...order.broker, tunnelKey: fromHex(order.broker.tunnelKey) }
const sessions: { name: string; session: MqttClient }[] = []
for (let at = 0; at < order.devices.length; at += 50) await Promise.all(order.devices.slice(at, at + 50).map(connect))
say({ connected: sessions.length })

async function connect({ name, privateKey, addresses }: FleetOrder['devices'][number]): Promise<void> {
  const tunnelKey = nativeSuite.x25519.pair(fromHex(privateKey))
  const client = await DeviceClient.start({ name, tunnelKey, addresses, broker })
  await client.up()
  const socket = await client.connect(broker.inner[0]!, 1883)
  const session = new MqttClient(() => socket, { clientId: name, keepalive: 0, protocolVersion: 4, reconnectPeriod: 0 })
  session.on('error', () => undefined)
  await new Promise((resolve) => session.once('connect', resolve))
  sessions.push({ name, session })
}

/** Publishes for `ms`, and says how many readings were acknowledged in that time. */
async function publish(ms: number): Promise<void> {
  const end = performance.now() + ms
  let publishes = 0
  const one = async ({ name, session }: (typeof sessions)[number]): Promise<void> => {
    let seq = 1
    const topic = deviceTopic(name, 'readings')
    const lane = async (): Promise<void> => {
      while (performance.now() < end) {
        const readings = Array.from({ length: order.perBatch }, () => ({
          seq: seq++,
          name: 'temperature',
          value: 20.5,
          unit: 'C',
          at: 1_790_000_000_000,
          quality: 0,
        }))
        await session.publishAsync(topic, Buffer.from(encodeBatch(1, readings)), { qos: 1 })
        if (performance.now() < end) publishes++
      }
    }
    await Promise.all(Array.from({ length: order.inFlight }, lane))
  }
  await Promise.all(sessions.map(one))
  say({ publishes, readings: publishes * order.perBatch, ms })
}

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

function firstLine(): Promise<string> {
  let text = ''
  return new Promise((resolve) => {
    process.stdin.setEncoding('utf8').on('data', (chunk: string) => {
      const wasWhole = text.includes('\n')
      text += chunk
      if (!wasWhole && text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')))
      else if (wasWhole && chunk.startsWith('publish ')) void publish(Number(chunk.slice(8)))
    })
    process.stdin.on('end', () => process.exit(0))
  })
}
