import { existsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { SqliteOutboxStore } from '#agent/io/outbox-store.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { Priority } from '#shared/telemetry/outbox.ts'
import { randomKeys } from '#test/broker/registry/registry-fixture.ts'

/**
 * Writes through a shipped store and says `ack …` after each promise that the store kept: the words go out by a system call of their
 * own, so that a trace has them in their place between the writes. First called with `prepare` (the schema), then with `work`.
 */
const [store = '', step = '', folder = ''] = process.argv.slice(2)
const acknowledge = (text: string): void => {
  writeSync(1, `ack ${text}\n`)
}

if (store === 'registry') await registry()
else if (store === 'outbox') await outbox()

async function registry(): Promise<void> {
  const ports = { clock: systemClock, suite: nativeSuite, log: silentLog }
  const opened = await Registry.open(folder, ports, { checkpointPages: 24 })
  if (step === 'work') {
    for (let round = 1; round <= 24; round += 1) {
      const insert = async (boot: number): Promise<void> => {
        const readings = Array.from({ length: 12 }, (_, n) => reading(n + 1, boot))
        await opened.telemetry.insert([{ principalId: boot, boot, readings }])
        acknowledge(`readings ${boot}`)
      }
      await Promise.all([insert(round * 3), insert(round * 3 + 1), insert(round * 3 + 2)])
      if (round % 4 !== 0) continue
      const { summary, secret } = await opened.claims.create({ role: 'device' })
      acknowledge(`claim ${summary.id} 0`)
      const { principal } = await opened.claims.redeem({ id: summary.id, secret, ...randomKeys() })
      acknowledge(`claim ${summary.id} 1`)
      acknowledge(`principal ${principal.name}`)
    }
  }
  await opened.close()
}

async function outbox(): Promise<void> {
  const path = join(folder, 'adit.db')
  const fresh = !existsSync(path)
  const opened = await SqliteOutboxStore.open(path)
  if (step === 'work' && !fresh) {
    const boot = await opened.nextBoot()
    for (let round = 1; round <= 90; round += 1) {
      const rows = Array.from({ length: 12 }, (_, n) => ({
        ...reading(round * 100 + n, round),
        boot,
        priority: Priority.sensor,
        bytes: 64,
      }))
      await opened.append(rows)
      acknowledge(`rows ${boot} ${round * 100} ${round * 100 + 11}`)
      if (round % 10 === 0) {
        // Said beforehand: from here on the store may have removed them, and after the answer it must have.
        acknowledge(`removing ${boot} ${round * 100 - 501}`)
        await opened.remove(boot, round * 100 - 501)
      }
    }
  }
  await opened.close()
}

function reading(seq: number, value: number) {
  return { seq, name: 'temperature', value: value + 0.5, unit: 'C', at: 1_790_000_000_000 + seq, quality: 0 }
}
