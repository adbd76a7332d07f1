import { readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { type CannedStation, openCanned } from '#test/agent/station/canned-station.ts'
import { identityFromPem } from '#test/interop/unit-keys.ts'

/**
 * A batch at a station's counter. Says `ack …` after each promise that the counter made, by a system call of its own, so that a trace has
 * the words in their place between the writes. `prepare` makes the ledger alone; `work` runs the batch, and again after any cut.
 */
const [step = '', folder = '', canned = '', units = '24'] = process.argv.slice(2)
const can = JSON.parse(readFileSync(canned, 'utf8')) as CannedStation
const acknowledge = (text: string): void => {
  writeSync(1, `ack ${text}\n`)
}

const { desk, ledger } = await openCanned(can, join(folder, 'ledger.db'))
if (step === 'work') {
  const serials = Array.from({ length: Number(units) }, (_, n) => `board-${n + 1}`)
  // Three boards at once: their promises share commits, as those of a line with several roads do.
  const road = async (own: readonly string[]): Promise<void> => {
    for (const [at, serial] of own.entries()) await provision(serial, at)
  }
  await Promise.all([0, 1, 2].map((n) => road(serials.filter((_, at) => at % 3 === n))))
}
await ledger.close()

async function provision(serial: string, at: number): Promise<void> {
  const opened = await desk.open(serial, 'image')
  acknowledge(`opened ${serial} ${opened.name}`)
  if (opened.step === 'delivered') return
  const key = await keyOf(serial)
  acknowledge(`issued ${serial} ${key}`)
  if (at % 4 === 1) {
    await desk.failed(serial, new AditError('storage-failed', 'The card is full.', 'Take another card.'))
    await desk.open(serial, 'image')
    acknowledge(`issued ${serial} ${await keyOf(serial)}`)
  }
  const { certificateSerial } = await desk.delivered(serial, 'read back')
  acknowledge(`delivered ${serial} ${certificateSerial}`)
}

async function keyOf(serial: string): Promise<string> {
  const { identityPem } = await desk.bundle(serial)
  return toHex(nativeSuite.hash('sha256', identityFromPem(identityPem))).slice(0, 16)
}
