import { nativeSuite } from '#shared/crypto/native.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { instant } from '#shared/time/instant.ts'
import { Session } from '#shared/tunnel/session.ts'
import { providers } from './providers.ts'
import type { BenchRow } from './row.ts'

export const name = 'seal'

const length = 1400
const packets = 2000
const rounds = 15

/** One direction of one session; microseconds of CPU a packet, median of rounds. */
export async function run(): Promise<BenchRow[]> {
  return (await providers()).flatMap(rowsOf)
}

function rowsOf(suite: Suite): BenchRow[] {
  const key = nativeSuite.random(32)
  const start = { local: 1, remote: 1, initiator: true, sendKey: key, receiveKey: key }
  const times = { now: instant(0), begunAt: instant(0), rekeyAt: instant(1) }
  const session = new Session(suite, undefined, { ...start, ...times })
  const inner = nativeSuite.random(length)
  const sealed = Array.from({ length: packets }, () => new Uint8Array(length + 64))
  const out = new Uint8Array(length + 64)
  const padded = Math.ceil(length / 16) * 16
  const seals: number[] = []
  const opens: number[] = []
  for (let round = 0; round < rounds; round++) {
    seals.push(microseconds(() => sealed.forEach((datagram) => void session.seal(inner, length, padded, datagram))))
    const sizes = sealed.map((datagram) => datagram.subarray(0, padded + 32))
    opens.push(
      microseconds(() =>
        sizes.forEach((datagram) => {
          if (session.open(datagram, out, instant(0)) !== padded) throw new Error('a packet did not open')
        }),
      ),
    )
  }
  return [
    { figure: `noise seal of 1400 B, ${suite.name}`, value: median(seals), unit: 'us', bar: '<= 8' },
    { figure: `noise open of 1400 B, ${suite.name}`, value: median(opens), unit: 'us', bar: '<= 8' },
  ]
}

function microseconds(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / packets
}

/** The first rounds compile; they are left out. */
const median = (values: readonly number[]): number => values.slice(5).sort((a, b) => a - b)[(values.length - 5) >> 1]!
