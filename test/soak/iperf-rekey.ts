import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { aditPair, lacksBundle } from '#test/bench/peers/adit.ts'
import { type Bed, pairBed } from '#test/bench/peers/bed.ts'
import { assertCarries } from '#test/bench/peers/carries.ts'
import type { Device } from '#test/lab/fleet.ts'
import { VerifiedStream } from '#test/lab/verified-stream.ts'

const minutes = Number(process.env.ADIT_SOAK_MINUTES ?? 60)
const rekeyEvery = 2_000
/** Fewer a minute than that, and it is not what is soaked here. */
const fewestRekeys = 25

/**
 * An agent's TUN to the broker's for an hour, full both ways, every byte judged, while new keys come every two seconds: each time an address of
 * the device's comes or goes, the shipped agent tells the broker by a handshake.
 */
for (const suite of ['noise'] as const) {
  test(`${suite}: ${minutes} minutes of TCP both ways with new keys every 2 s: no byte is wrong`, {
    timeout: (minutes + 5) * 60_000,
  }, async (t) => {
    const lacks = lacksBundle()
    if (lacks !== undefined) return t.skip(lacks)
    const bed = pairBed(t)
    const { device, tunnel } = await aditPair(suite, bed, t)
    await assertCarries(bed, tunnel)
    const stream = await VerifiedStream.start(t, bed, tunnel.innerB)
    // After the test the bed is the first to go.
    const stop = rekey(bed)
    try {
      let handshakes = await handshakesOf(device)
      for (let minute = 1; minute <= minutes; minute++) {
        const before = stream.verified
        await Promise.race([wait(60_000), stream.failed])
        const now = stream.verified
        const renewed = (await handshakesOf(device)) - handshakes
        handshakes += renewed
        const gigabits = (end: 'a' | 'b'): string => (((now[end] - before[end]) * 8) / 60e9).toFixed(2)
        t.diagnostic(`minute ${minute}: ${renewed} handshakes; Gbit/s: ${gigabits('b')} up, ${gigabits('a')} down; 0 bytes wrong`)
        assert.ok(now.a > before.a && now.b > before.b, 'data flows both ways')
        assert.ok(renewed >= fewestRekeys, `${renewed} handshakes in a minute`)
      }
    } finally {
      stop()
    }
  })
}

/** A second address of the device's network comes, and two seconds later it goes, and so on. Returns what ends it. */
function rekey({ a, wireA }: Bed): () => void {
  const address = '10.99.0.77/24'
  let isThere = false
  const timer = setInterval(() => {
    if (isThere) a.ip(`addr del ${address} dev ${wireA}`)
    else a.addAddress(address, wireA)
    isThere = !isThere
  }, rekeyEvery)
  return () => clearInterval(timer)
}

const handshakesOf = async (device: Device): Promise<number> =>
  (await device.status<{ tunnel: { handshakes: number } }>()).tunnel.handshakes
