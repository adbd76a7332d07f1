import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { MqttClient } from 'mqtt'
import type { Principal } from '#broker/registry/principal.ts'
import { Registry } from '#broker/registry/registry.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { encodeBatch } from '#shared/telemetry/reading.ts'
import { deviceTopic } from '#shared/telemetry/topics.ts'
import { BrokerProcess } from '#test/broker/broker-process.ts'
import { DeviceClient } from '#test/broker/device-client.ts'

/** Brokers killed; batches that are on their way at once; readings in each. */
const kills = 5
const inFlight = 8
const perBatch = 20

test('D11 F-22 a broker killed with -9 after a PUBACK has every acknowledged reading on disk', async () => {
  const parent = mkdtempSync(join(tmpdir(), 'adit-kill-'))
  const folder = join(parent, 'data')
  const key = nativeSuite.x25519.generate()
  const open = (): Promise<Registry> => Registry.open(folder, { clock: systemClock, suite: nativeSuite, log: silentLog })
  const registry = await open()
  const device = await registry.devices.addWireguard({ name: 'witness', tunnelKey: toHex(key.publicKey) })
  await registry.close()

  const acknowledged: number[] = []
  let seq = 1
  for (let kill = 0; kill < kills; kill++) {
    const broker = await BrokerProcess.start(folder)
    const client = await DeviceClient.start({
      name: 'witness',
      tunnelKey: key,
      addresses: device.addresses,
      broker: broker.ready,
    })
    const session = await connected(client, broker.ready.inner[0]!)
    // Each broker dies in the very call in which an acknowledgement is read: the first, the second, the fourth…
    const last = 2 ** kill
    let acks = 0
    const killed = new Promise<void>((resolve) => {
      const publish = (): void => {
        const readings = Array.from({ length: perBatch }, () => ({
          seq: seq++,
          name: 'n',
          value: seq,
          unit: null,
          at: 1,
          quality: 0,
        }))
        session.publish(deviceTopic('witness', 'readings'), Buffer.from(encodeBatch(1, readings)), { qos: 1 }, (error) => {
          if (error || acks === last) return
          acknowledged.push(...readings.map((reading) => reading.seq))
          if (++acks === last) resolve(broker.kill())
          else publish()
        })
      }
      for (let i = 0; i < inFlight; i++) publish()
    })
    await killed
    session.end(true)
    await client.stop()
  }

  const after = await open()
  const stored = await storedSeqs(after, device)
  await after.close()
  rmSync(parent, { recursive: true })
  assert.equal(acknowledged.length, (2 ** kills - 1) * perBatch)
  assert.deepEqual(
    acknowledged.filter((seq) => !stored.has(seq)),
    [],
  )
})

async function connected(client: DeviceClient, address: string): Promise<MqttClient> {
  await client.up()
  const socket = await client.connect(address, 1883)
  const session = new MqttClient(() => socket, { clientId: 'witness', keepalive: 0, protocolVersion: 4, reconnectPeriod: 0 })
  session.on('error', () => undefined)
  await new Promise((resolve) => session.once('connect', resolve))
  return session
}

async function storedSeqs(registry: Registry, device: Principal): Promise<Set<number>> {
  const seqs = new Set<number>()
  let after: string | undefined
  for (;;) {
    const { readings, next } = await registry.telemetry.query({ deviceId: device.id, ...(after !== undefined && { after }) })
    for (const { seq } of readings) seqs.add(seq)
    if (readings.length === 0) return seqs
    after = next
  }
}
