import { nativeSuite } from '#shared/crypto/native.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { Driver } from '#shared/platform/driver.ts'
import { backgroundTimers } from '#shared/platform/timers.ts'
import type { BenchRow } from '#test/bench/row.ts'

export const name = 'netstack'

const BULK = 400_000_000
const IDLE = 10_000

/** Two stacks of which each puts its packets straight into the other's hands, as a copy, in batches. */
function pair(): { a: Netstack; b: Netstack; driver: Driver; packets: () => number } {
  const driver = new Driver(systemClock, backgroundTimers)
  let packets = 0
  const ends: Netstack[] = []
  const make = (address: string, other: 0 | 1): Netstack => {
    const stack = new Netstack({
      suite: nativeSuite,
      clock: systemClock,
      addresses: [address],
      transmit: (packet) => {
        packets++
        ends[other]!.input(packet)
      },
      wake: (at) => driver.wake(at),
      defer: setImmediate,
    })
    driver.add(stack)
    return stack
  }
  ends.push(make('fd00::a', 1))
  ends.push(make('fd00::b', 0))
  return { a: ends[0]!, b: ends[1]!, driver, packets: () => packets }
}

async function bulk(): Promise<BenchRow[]> {
  const { a, b, driver, packets } = pair()
  const started = performance.now()
  const busy = process.cpuUsage()
  await new Promise<void>((resolve) => {
    b.listen({ port: 80 }, (socket) => {
      let got = 0
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Buffer) => {
        got += chunk.length
        if (got === BULK) resolve()
      })
    })
    const socket = a.connect({ address: 'fd00::b', port: 80 })
    socket.on('error', () => undefined)
    const block = Buffer.alloc(1 << 16)
    let left = BULK
    const more = (): void => {
      while (left > 0) {
        const chunk = left >= block.length ? block : block.subarray(0, left)
        left -= chunk.length
        if (!socket.write(chunk)) {
          socket.once('drain', more)
          return
        }
      }
    }
    more()
  })
  const ms = performance.now() - started
  const { user, system } = process.cpuUsage(busy)
  const count = packets()
  a.destroy()
  b.destroy()
  driver.close()
  return [
    { figure: 'netstack bulk TCP, two stacks in one process, MTU 1280', value: (BULK * 8) / 1e6 / ms, unit: 'Gbit/s' },
    {
      figure: 'netstack CPU a packet, both ends together (sent, received, acknowledged)',
      value: (user + system) / count,
      unit: 'us',
      bar: '<= 8 us (2 to 4 an end)',
    },
  ]
}

async function idle(): Promise<BenchRow[]> {
  const { a, b, driver } = pair()
  const resident = (): number => {
    globalThis.gc?.()
    globalThis.gc?.()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const before = resident()
  const kept: unknown[] = []
  await new Promise<void>((resolve) => {
    let ready = 0
    b.listen({ port: 80, backlog: 65_536 }, (socket) => {
      kept.push(socket)
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Buffer) => socket.write(chunk))
    })
    const open = (left: number): void => {
      if (left === 0) return
      const socket = a.connect({ address: 'fd00::b', port: 80 })
      kept.push(socket)
      socket.on('error', () => undefined)
      socket.write('hello')
      socket.on('data', () => {
        if (++ready === IDLE) resolve()
      })
      if (left % 100 === 0) setTimeout(() => open(left - 1), 1)
      else open(left - 1)
    }
    open(IDLE)
  })
  await new Promise((resolve) => setTimeout(resolve, 300))
  const bytes = (resident() - before) / (2 * IDLE)
  a.destroy()
  b.destroy()
  driver.close()
  return [
    {
      figure: `netstack memory of an idle connection after a message each way, Duplex included (${IDLE} of them)`,
      value: bytes,
      unit: 'bytes',
      bar: '<= 6144 bytes',
    },
  ]
}

export async function run(): Promise<BenchRow[]> {
  return [...(await idle()), ...(await bulk())]
}
