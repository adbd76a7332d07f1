import { readdirSync, readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { AddressScratch } from '#shared/platform/linux-engine/address-scratch.ts'
import { Libc } from '#shared/platform/linux-engine/libc.ts'
import type { NativeMemory } from '#shared/platform/linux-engine/memory.ts'
import { isRefusal, loadNative } from '#shared/platform/linux-engine/native.ts'
import { SocketMessage } from '#shared/platform/linux-engine/socket-message.ts'
import { UdpPort } from '#shared/platform/linux-engine/udp-port.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { ipPacket, udp } from '#test/shared/dataplane/packets.ts'
import { settled } from '#test/shared/platform/engine-talk.ts'
import { Town } from '#test/shared/platform/engine-town.ts'
import type { Member } from '#test/shared/platform/town-member.ts'
import { Ending } from './peers/ending.ts'
import { median } from './peers/statistics.ts'

export const name = 'lanes'

const PACKET = 1_280
const RUNS = 5
/** Packets of one direction in one run. */
const COUNT = 24_000
/** Datagrams of one sendmsg(2), and how many packets may wait for the lanes. */
const BATCH = 45
const WAITING = 160 * BATCH
/** Bytes of a datagram in either suite, at most. */
const SEALED = PACKET + 64
/** So long without progress, ms: what is missing was lost in a full buffer. */
const PATIENCE = 500

/**
 * A re-encrypting relay between two peers of different lanes, both ways at once, by one lane and by two in turns. What is relayed was sealed
 * before, and nobody reads what comes out: the processor is the lanes' alone, but for the calls that bring the datagrams.
 */
export async function run(): Promise<BenchRow[]> {
  const native = await loadNative()
  if (isRefusal(native)) throw new Error(native.message)
  const room = native.memory(2 * COUNT * SEALED + (1 << 20))
  const at = room.allocate(2 * COUNT * SEALED)
  const rows: BenchRow[] = []
  for (const suite of ['noise', 'esp'] as const) {
    const ending = new Ending()
    try {
      const beds = [
        await Bed.open(ending, suite, 1, new Libc(native), room),
        await Bed.open(ending, suite, 2, new Libc(native), room),
      ]
      const results: Result[][] = beds.map(() => [])
      for (let i = 0; i <= RUNS; i++)
        for (const [which, bed] of beds.entries()) {
          const result = await bed.run(at)
          // The first one is compiled while it runs.
          if (i > 0) results[which]!.push(result)
        }
      const [one, two] = results.map((some) => ({
        rate: median(some.map(({ packets, wall }) => (1_000 * packets) / wall)),
        cost: median(some.map(({ packets, cpu }) => cpu / packets)),
        busiest: median(some.map(({ packets, busiest }) => busiest / packets)),
        lost: 1 - median(some.map(({ packets }) => packets)) / (2 * COUNT),
      })) as [Summary, Summary]
      const ratio = median(
        results[1]!.map(({ wall, packets }, i) => (packets / wall) * (results[0]![i]!.wall / results[0]![i]!.packets)),
      )
      const row = (lanes: string, { rate, cost, busiest, lost }: Summary, beside = ''): BenchRow => ({
        ...{ figure: `${suite}, relay of ${PACKET} B both ways, ${lanes}`, value: rate, unit: 'packets a second' },
        beside: `${cost.toFixed(1)} us of processor each, ${busiest.toFixed(1)} of the busiest thread, ${(100 * lost).toFixed(1)} % lost${beside}`,
      })
      rows.push(row('one lane', one), row('two lanes', two, `; ${ratio.toFixed(2)} times as many`))
    } finally {
      await ending.end()
    }
  }
  return rows
}

interface Result {
  readonly packets: number
  /** Milliseconds. */
  readonly wall: number
  /** Microseconds of all threads of this process, and of the one that had most. */
  readonly cpu: number
  readonly busiest: number
}

interface Summary {
  readonly rate: number
  readonly cost: number
  readonly busiest: number
  readonly lost: number
}

/** A hub with its lanes, two members, and the sockets by which they pour. */
class Bed {
  readonly #town: Town
  readonly #ends: readonly End[]
  readonly #libc: Libc
  readonly #memory: NativeMemory
  readonly #message: SocketMessage
  readonly #hub: Uint8Array

  private constructor(town: Town, ends: readonly End[], libc: Libc, memory: NativeMemory) {
    this.#town = town
    this.#ends = ends
    this.#libc = libc
    this.#memory = memory
    this.#message = new SocketMessage(memory)
    this.#hub = new AddressScratch(memory).addressOf(town.local)
  }

  static async open(ending: Ending, suite: SuiteName, lanes: number, libc: Libc, memory: NativeMemory): Promise<Bed> {
    const town = await Town.open(ending, { suite, lanes })
    const [a, b] = [await town.join(ending), await town.join(ending)]
    await settled(town, a, b)
    await settled(town, b, a)
    const ends = [
      [a, b],
      [b, a],
    ].map(([from, to]) => {
      const port = UdpPort.bind(libc, memory, { address: '127.0.0.1', port: 0 })
      ending.after(() => port.close())
      return { from: from!, to: to!, port }
    })
    return new Bed(town, ends, libc, memory)
  }

  /** `at`: room for all sealed datagrams. */
  async run(at: number): Promise<Result> {
    const size = this.#seal(at)
    const { relayed: before } = this.#town.lane!.traffic
    const moved = (): number => this.#town.lane!.traffic.relayed - before
    const cpuBefore = threadTimes()
    const began = performance.now()
    let given = 0
    let last = { moved: 0, at: began }
    for (let first = 0; first < COUNT; first += BATCH)
      for (const [i, { port }] of this.#ends.entries()) {
        const count = Math.min(BATCH, COUNT - first)
        this.#message.set(this.#hub, at + (i * COUNT + first) * size, count * size, size)
        if (this.#libc.sendmsg(port.descriptors.v4, this.#message.address, 0) < 0) throw new Error('the kernel takes no batch')
        given += count
        while (given - moved() > WAITING && performance.now() - last.at < PATIENCE) last = pause(last, moved())
      }
    while (moved() < given && performance.now() - last.at < PATIENCE) last = pause(last, moved())
    last = pause(last, moved())
    const spent = [...threadTimes()].map(([thread, time]) => time - (cpuBefore.get(thread) ?? 0))
    const cpu = spent.reduce((sum, one) => sum + one, 0)
    const result = { packets: last.moved, wall: last.at - began, cpu, busiest: Math.max(...spent) }
    // What the lanes have told is heard before the next run.
    await new Promise((resolve) => setTimeout(resolve, 150))
    return result
  }

  #seal(at: number): number {
    const out = new Uint8Array(2_048)
    let size = 0
    for (const [i, { from, to }] of this.#ends.entries()) {
      const inner = ipPacket({ from: from.v4, to: to.v4, body: udp(4_000, 4_001, new Uint8Array(PACKET - 28)) })
      for (let n = 0; n < COUNT; n++) {
        size = from.association.seal(inner, inner.length, out, from.now)
        if (size <= 0) throw new Error(`nothing is sealed (${size})`)
        this.#memory.bytes.set(out.subarray(0, size), at + (i * COUNT + n) * size)
      }
    }
    return size
  }
}

interface End {
  readonly from: Member
  readonly to: Member
  readonly port: UdpPort
}

/** Processor time of each thread of this process so far, microseconds. */
function threadTimes(): Map<string, number> {
  const folder = '/proc/self/task'
  const timeOf = (thread: string): number => Number(readFileSync(`${folder}/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1_000
  return new Map(readdirSync(folder).map((thread) => [thread, timeOf(thread)]))
}

const cell = new Int32Array(new SharedArrayBuffer(4))

/** The main thread leaves the processor to the lanes. Returns when something was moved last, and how much by then. */
function pause(last: { moved: number; at: number }, moved: number): { moved: number; at: number } {
  const now = performance.now()
  Atomics.wait(cell, 0, 0, 1)
  return moved > last.moved ? { moved, at: now } : last
}
