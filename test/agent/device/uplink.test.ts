import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Aedes } from 'aedes'
import { SqliteOutboxStore } from '#agent/io/outbox-store.ts'
import { Uplink } from '#agent/io/uplink.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { silentLog } from '#shared/platform/log.ts'
import { systemTimers, type Timers } from '#shared/platform/timers.ts'
import { Outbox, type Sample } from '#shared/telemetry/outbox.ts'
import { type Batch, decodeBatch, type Reading } from '#shared/telemetry/reading.ts'
import { milliseconds } from '#shared/time/instant.ts'

/** A broker that takes batches as `takes` says; one that it does not take it answers by cutting the connection. */
async function brokerThat(t: TestContext, takes: (batch: Batch) => boolean | Promise<boolean>) {
  const broker = await Aedes.createBroker({
    authorizePublish: (client, packet, done) => {
      const accept = async (): Promise<void> => {
        if (packet.topic.endsWith('/readings') && !(await takes(decodeBatch(packet.payload as Uint8Array))))
          client?.conn.destroy()
        else done(null)
      }
      void accept()
    },
  })
  const server = createServer((socket) => broker.handle(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    await new Promise<void>((resolve) => broker.close(() => resolve()))
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Timers that wait to be told; `delays` of all that were set, ms. */
function handTimers() {
  const delays: number[] = []
  const waiting = new Map<number, () => void>()
  const timers: Timers = {
    setTimer: (delay, callback) => {
      delays.push(delay)
      waiting.set(delay, callback)
      return { clear: () => waiting.get(delay) === callback && waiting.delete(delay) }
    },
  }
  return { timers, delays, ring: (delay: number) => waiting.get(delay)?.() }
}

/** Waits are a hundredth as long: backing off is tested elsewhere. */
const hurried: Timers = {
  setTimer: (delay, callback) => systemTimers.setTimer(delay >= 30_000 ? delay : milliseconds(delay / 200), callback),
}

async function uplinkTo(t: TestContext, port: number, rows = 500_000) {
  const folder = await mkdtemp(join(tmpdir(), 'adit-uplink-'))
  const store = await SqliteOutboxStore.open(join(folder, 'outbox.db'))
  const errors: unknown[] = []
  const uplink = new Uplink({
    suite: nativeSuite,
    timers: hurried,
    log: silentLog,
    name: 'pi',
    connect: () => connect({ port, host: '127.0.0.1', noDelay: true }),
    now: () => 1000,
    onOutboxError: (error) => errors.push(error),
  })
  const outbox = await Outbox.open(store, { limits: { rows, bytes: 2 ** 30 }, now: () => 1000, onAppended: () => uplink.kick() })
  uplink.setOutbox(outbox)
  t.after(async () => {
    await uplink.stop()
    await store.close()
    await rm(folder, { recursive: true })
  })
  return { uplink, outbox, errors }
}

const sample = (value: number): Sample => ({ name: 'x', value, unit: null, at: 1000 + value, quality: 0 })

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('a week of 200,000 readings drains in order, each once, with batches in flight', async (t) => {
  let last = 0
  let inFlight = 0
  let most = 0
  let outOfOrder = 0
  const port = await brokerThat(t, async ({ readings }) => {
    inFlight += 1
    most = Math.max(most, inFlight)
    for (const { seq } of readings) {
      if (seq !== last + 1) outOfOrder += 1
      last = seq
    }
    // The disk's turn: whoever waits for each answer would have one batch here at a time.
    await new Promise((resolve) => setTimeout(resolve, 2))
    inFlight -= 1
    return true
  })
  const { uplink, outbox } = await uplinkTo(t, port)
  const count = 200_000
  for (let at = 0; at < count; at += 2000) await outbox.append(Array.from({ length: 2000 }, (_, i) => sample(at + i)))
  const from = performance.now()
  await uplink.start()
  await until(() => outbox.status.rows === 0)
  const perSecond = (count * 1000) / (performance.now() - from)
  t.diagnostic(`${Math.round(perSecond)} readings a second`)
  assert.equal(outOfOrder, 0)
  assert.equal(last, count)
  assert.equal(uplink.delivered, count)
  assert.ok(most > 1, 'several batches were on their way at once')
  assert.ok(perSecond > 5_000, `${perSecond}`)
})

test('a connection that breaks again and again loses nothing and repeats only what was unacknowledged', async (t) => {
  const seen = new Map<number, number>()
  let batches = 0
  const port = await brokerThat(t, ({ readings }) => {
    for (const { seq } of readings) seen.set(seq, (seen.get(seq) ?? 0) + 1)
    return ++batches % 7 !== 0
  })
  const { uplink, outbox } = await uplinkTo(t, port)
  await outbox.append(Array.from({ length: 20_000 }, (_, i) => sample(i)))
  await uplink.start()
  await until(() => outbox.status.rows === 0)
  assert.equal(seen.size, 20_000)
  assert.equal(uplink.refused, 0)
})

test('A-64 readings that the broker never takes are left out with a record each, and the others arrive', async (t) => {
  const poison = new Set([3, 700, 701])
  const arrived = new Map<number, Reading>()
  const port = await brokerThat(t, ({ readings }) => {
    if (readings.some(({ seq }) => poison.has(seq))) return false
    for (const reading of readings) arrived.set(reading.seq, reading)
    return true
  })
  const { uplink, outbox, errors } = await uplinkTo(t, port)
  await outbox.append(Array.from({ length: 1500 }, (_, i) => sample(i)))
  await uplink.start()
  await until(() => outbox.status.rows === 0)
  assert.deepEqual(errors, [])
  assert.equal(uplink.refused, 3)
  for (let seq = 1; seq <= 1500; seq++) assert.equal(arrived.has(seq), !poison.has(seq), `${seq}`)
  const gaps = [...arrived.values()].filter(({ name }) => name === 'system/gap').map(({ value }) => ({ ...(value as object) }))
  assert.deepEqual(
    gaps,
    [...poison].map((seq) => ({ count: 1, firstAt: null, lastAt: null, kind: 'refused', boot: 1, seq })),
  )
})

test('connections that end at once are made anew after ever longer waits, and one that was sound after a short one', async (t) => {
  const port = await brokerThat(t, () => true)
  const { timers, delays, ring } = handTimers()
  let stream = connect({ port, host: '127.0.0.1' })
  stream.destroy()
  const uplink = new Uplink({
    // The longest wait each time: three times the one before.
    suite: { ...nativeSuite, random: (length) => new Uint8Array(length).fill(0xff) },
    timers,
    log: silentLog,
    name: 'pi',
    connect: () => (stream = connect({ port, host: '127.0.0.1' })),
    now: () => 1000,
    onOutboxError: () => {},
  })
  const soundAfter = 40_000
  const retries = (): number[] => delays.filter((delay) => delay !== soundAfter)
  const cut = async (): Promise<number> => {
    await until(() => uplink.connected)
    const before = retries().length
    stream.destroy()
    await until(() => retries().length > before)
    return retries().at(-1)!
  }
  await uplink.start()
  const waits: number[] = []
  for (let i = 0; i < 5; i++) {
    if (i === 4) {
      await until(() => uplink.connected)
      ring(soundAfter)
    }
    const delay = await cut()
    waits.push(Math.round(delay / 1_000))
    ring(delay)
  }
  assert.deepEqual(waits, [3, 9, 27, 30, 3])
  uplink.pause()
})
