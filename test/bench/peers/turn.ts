import { join } from 'node:path'
import { bundled } from '#test/bench/bundle.ts'
import { memoryOf, processorSecondsOf } from './accounts.ts'
import type { Bed, RelayBed } from './bed.ts'
import { bytesOf } from './carries.ts'
import type { Tunnel } from './contender.ts'
import { datagrams } from './datagrams.ts'
import { Ending } from './ending.ts'
import { type Direction, type Ends, type TcpRun, tcp, type UdpRun, udp } from './iperf.ts'
import { LowLossRate, lowLoss } from './low-loss.ts'
import { roundTrips } from './round-trips.ts'

/** What one turn of one contender came to: figures by name, in the units of figures.ts. */
export type Measured = Record<string, number>

const ways: readonly Direction[] = ['a-to-b', 'b-to-a']
const gigabyte = 1e9

/** One contender's turns, whose figures go into `measured` as they come: what it has learned of its own limits goes from one to the next. */
export class Turns {
  readonly #rates = new Map<string, LowLossRate>()
  readonly #seconds: number
  readonly #stop: AbortSignal
  readonly #say: (what: string) => void

  /** `seconds`: how long each stream runs; trials of a packet rate and pings last half of it. */
  constructor(seconds: number, stop: AbortSignal, say: (what: string) => void) {
    this.#seconds = seconds
    this.#stop = stop
    this.#say = say
  }

  async pair(bed: Bed, tunnel: Tunnel, measured: Measured): Promise<void> {
    const ends = this.#ends(bed, tunnel)
    await this.#use(ends)
    await this.#idlePings('ping', ends, measured)
    for (const way of ways) {
      const run = await this.#tcp(`tcp 1 ${way}`, bed, tunnel, way, 1, measured)
      if (tunnel.processes.a.length === 0) continue
      const [sender, receiver] = way === 'a-to-b' ? [run.cpu.a, run.cpu.b] : [run.cpu.b, run.cpu.a]
      measured[`cpu sender ${way}`] = (sender / run.bytes) * gigabyte
      measured[`cpu receiver ${way}`] = (receiver / run.bytes) * gigabyte
    }
    for (const way of ways) await this.#tcp(`tcp 8 ${way}`, bed, tunnel, way, 8, measured)
    for (const bytes of [1400, 64]) for (const way of ways) await this.#packets(`udp ${bytes} ${way}`, ends, way, bytes, measured)
    await this.#loadedPings('ping', ends, measured)
    for (const end of ['a', 'b'] as const) {
      const pids = tunnel.processes[end]
      if (pids.length === 0) continue
      const { resident, proportional } = memoryOf(pids)
      measured[`resident ${end}`] = resident
      measured[`pss ${end}`] = proportional
    }
  }

  async relay(bed: RelayBed, tunnel: Tunnel, measured: Measured): Promise<void> {
    const ends = this.#ends(bed, tunnel)
    await this.#use(ends)
    await this.#idlePings('relay ping', ends, measured)
    for (const way of ways) {
      const run = await this.#tcp(`relay tcp 1 ${way}`, bed, tunnel, way, 1, measured)
      measured[`relay cpu hop ${way}`] = (run.cpu.hop / run.bytes) * gigabyte
    }
    await this.#opaque(ends, tunnel, measured)
    for (const bytes of [1400, 64]) await this.#packets(`relay udp ${bytes} a-to-b`, ends, 'a-to-b', bytes, measured)
    await this.#loadedPings('relay ping', ends, measured)
    measured['relay resident hop'] = memoryOf(tunnel.processes.hop).resident
  }

  /** What is measured is a tunnel in use: ours compiles its code as it runs, and others' buffers grow. */
  async #use(ends: Ends): Promise<void> {
    this.#say('a second of use each way')
    for (const way of ways) await tcp(ends, way, 1, 1)
  }

  async #tcp(name: string, bed: Bed, tunnel: Tunnel, way: Direction, streams: number, measured: Measured): Promise<Metered> {
    this.#say(name)
    const { processes } = tunnel
    const cpu = () => [processes.a, processes.hop, processes.b].map(processorSecondsOf)
    const counted = () => Math.min(bytesOf(bed.a, tunnel.deviceA), bytesOf(bed.b, tunnel.deviceB))
    const [before, from] = [cpu(), counted()]
    const run = await tcp(this.#ends(bed, tunnel), way, this.#seconds, streams)
    const after = cpu()
    if (counted() - from < run.bytes) throw new Error(`${name}: the data went elsewhere than through the tunnel's interfaces`)
    measured[name] = run.bitsPerSecond / 1e9
    const [a, hop, b] = after.map((seconds, end) => seconds - before[end]!) as [number, number, number]
    return { ...run, cpu: { a, hop, b } }
  }

  async #packets(name: string, ends: Ends, way: Direction, bytes: number, measured: Measured): Promise<void> {
    this.#say(name)
    const rate = this.#rates.get(name) ?? new LowLossRate()
    this.#rates.set(name, rate)
    const payload = bytes - (ends.innerB.includes(':') ? 48 : 28)
    const trial = (packetsPerSecond: number) => udp(ends, way, this.#half, payload, packetsPerSecond)
    const flood = await trial(Number.POSITIVE_INFINITY)
    measured[`${name} of a flood`] = flood.delivered / 1e3
    measured[name] = (await rate.search(flood, trial)) / 1e3
  }

  /** What end-to-end traffic of two others is for the hop: batches of equal datagrams. At the highest rate that loses little. */
  async #opaque(ends: Ends, { processes }: Tunnel, measured: Measured): Promise<void> {
    const name = 'relay opaque a-to-b'
    this.#say(name)
    const rate = this.#rates.get(name) ?? new LowLossRate()
    this.#rates.set(name, rate)
    const payload = 1400 - 28
    const ending = new Ending()
    try {
      const program = await bundled(ending, join(import.meta.dirname, 'datagrams-child.ts'))
      let best = { delivered: 0, cost: Number.NaN }
      const trial = async (packetsPerSecond: number): Promise<UdpRun> => {
        const before = processorSecondsOf(processes.hop)
        const run = await datagrams(program, ends, this.#half, payload, packetsPerSecond)
        const cost = ((processorSecondsOf(processes.hop) - before) / (run.received * payload)) * gigabyte
        if (run.lost <= lowLoss && run.delivered > best.delivered) best = { delivered: run.delivered, cost }
        return run
      }
      const found = await rate.search(await trial(Number.POSITIVE_INFINITY), trial)
      measured[name] = (found * payload * 8) / 1e9
      if (found > 0) measured['relay opaque cpu hop'] = best.cost
    } finally {
      await ending.end()
    }
  }

  async #idlePings(name: string, { a, innerB, stop }: Ends, measured: Measured): Promise<void> {
    this.#say(`${name} idle`)
    const { p50, p99, lost } = await roundTrips(a, innerB, this.#half, stop)
    measured[`${name} idle p50`] = p50
    measured[`${name} idle p99`] = p99
    measured[`${name} idle lost`] = lost * 100
  }

  /** Beside one stream of TCP in the same direction, which runs on both sides of the pings. */
  async #loadedPings(name: string, ends: Ends, measured: Measured): Promise<void> {
    this.#say(`${name} loaded`)
    const load = tcp(ends, 'a-to-b', this.#seconds + 1, 1)
    const pings = new Promise((resolve) => setTimeout(resolve, 700)).then(() =>
      roundTrips(ends.a, ends.innerB, this.#seconds - 0.5, ends.stop),
    )
    const [{ p50, p99, lost }] = await Promise.all([pings, load])
    measured[`${name} loaded p50`] = p50
    measured[`${name} loaded p99`] = p99
    measured[`${name} loaded lost`] = lost * 100
  }

  #ends({ a, b }: Bed, { innerB }: Tunnel): Ends {
    return { a, b, innerB, stop: this.#stop }
  }

  /** iperf3 knows whole seconds alone. */
  get #half(): number {
    return Math.max(1, Math.round(this.#seconds / 2))
  }
}

interface Metered extends TcpRun {
  readonly cpu: { readonly a: number; readonly hop: number; readonly b: number }
}
