import type { Endpoint } from '#shared/tunnel/association.ts'
import { BOB, EspNode, espConnected, espNodes } from '#test/shared/tunnel/esp-link.ts'
import type { BenchRow } from './row.ts'

export const name = 'ike-flood'

const seconds = 60
const perSecond = 5_000
const scrapsPerSecond = 20_000
/** Steps of 20 ms of virtual time. */
const steps = seconds * 50

/**
 * A minute of first messages from spoofed sources, each another one, beside four times as many scraps: one established tunnel talks all
 * the time, each second somebody new comes. Virtual time for the timers; processor time and memory are real.
 */
export async function run(): Promise<BenchRow[]> {
  const { network, alice, bob } = espConnected(1)
  network.recording = false
  // Nobody stands where the spoofed sources are.
  network.filter = ({ to }) => !to.address.startsWith('203.')
  const template = firstMessage()
  const scrap = new Uint8Array(120).fill(7)
  const waits: number[] = []
  let number = 0
  let spent = 0
  let halfOpen = 0
  let came = 0
  // A broker at work: its fleet has come, packets flow.
  for (let step = 0; step < 300; step++) join(step)
  for (let step = 0; step < 3_000; step++) talk(step)
  const before = process.memoryUsage.rss()
  let most = before
  came = 0
  for (let step = 0; step < steps; step++) {
    flood()
    talk(step)
    if (step % 50 === 25) waits.push(join(300 + step))
    if (step % 50 === 0) most = Math.max(most, process.memoryUsage.rss())
    halfOpen = Math.max(halfOpen, bob.endpoint.sizes.halfOpen)
  }
  network.run(1_000)
  talk(0)
  const lost = 2 * (steps + 1) - came
  waits.sort((a, b) => a - b)
  const each = `${halfOpen} half-open at most`
  return [
    {
      figure: 'IKE flood of 5,000/s and 20,000 scraps/s: memory growth',
      value: (most - before) / 2 ** 20,
      unit: 'MiB',
      bar: '<= 16',
      beside: each,
    },
    { figure: 'IKE flood: packets lost in an established tunnel', value: (100 * lost) / (2 * steps), unit: '%', bar: '<= 1' },
    {
      figure: 'IKE flood: a real peer connects, the slowest of 60',
      value: (waits.at(-1) ?? Infinity) / 1_000,
      unit: 's',
      bar: '<= 3',
    },
    { figure: 'IKE flood: share of one core', value: (100 * spent) / (seconds * 1e6), unit: '%' },
  ]

  function flood(): void {
    const start = process.cpuUsage()
    for (let i = 0; i < perSecond / 50; i++) {
      const init = template.slice()
      new DataView(init.buffer).setUint32(4, ++number)
      bob.endpoint.handleControl(init, source(number), network.now)
    }
    for (let i = 0; i < scrapsPerSecond / 100; i++) {
      scrap[30] = i
      scrap.fill(0, 0, 4)
      bob.endpoint.handleControl(scrap, source(number + i), network.now)
      scrap.fill(0x80 | i, 0, 4)
      bob.endpoint.open(scrap, source(number + i), plain, network.now)
    }
    const { user, system } = process.cpuUsage(start)
    spent += user + system
  }

  function join(step: number): number {
    const carol = new EspNode(network, `c${step}.example`, { address: '192.0.2.77', port: 7_000 + step })
    const from = network.now
    carol.peer(bob, { firstContact: true })
    const is = network.run(10_000, () => carol.to(bob).state === 'established')
    network.remove(carol)
    const known = bob.to(carol)
    if (known !== undefined) bob.endpoint.removePeer(known)
    return is ? network.now - from : Number.POSITIVE_INFINITY
  }

  /** A packet each way, counted and forgotten: a record of a minute would be measured too. */
  function talk(step: number): void {
    alice.send(bob, step)
    bob.send(alice, step)
    network.run(20)
    for (const node of [alice, bob]) {
      came += node.received.length
      node.received.length = 0
      node.verdicts.length = 0
    }
  }
}

const plain = new Uint8Array(2_048)

function firstMessage(): Uint8Array {
  const { network, alice, bob } = espNodes(2)
  alice.peer(bob, { firstContact: true })
  return network.sent.find(({ to }) => to.port === BOB.port)!.bytes
}

const source = (number: number): Endpoint => ({
  address: `203.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`,
  port: 1024 + (number % 60_000),
})
