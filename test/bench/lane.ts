import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import { RouteTable } from '#shared/dataplane/route-table.ts'
import { LaneFlow, LaneFlows } from '#shared/platform/linux-engine/lane-flows.ts'
import { LanePeer } from '#shared/platform/linux-engine/lane-peers.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { Program } from '#test/lab/program.ts'
import { bundled } from './bundle.ts'
import type { EngineSpec } from './engine-child.ts'
import type { LaneMemory } from './lane-memory-child.ts'
import { Member } from './member.ts'
import { memoryOf } from './peers/accounts.ts'
import { Ending } from './peers/ending.ts'
import { quantile } from './peers/statistics.ts'

export const name = 'lane'

const many = 100_000
const trips = 3_000
/** ms */
const afterStart = 11_000

/** The fast engine of Linux: what it holds in memory, what its tables cost, and what one lonely packet waits for it. Needs no root. */
export async function run(): Promise<BenchRow[]> {
  const ending = new Ending()
  try {
    return [...(await memory(ending)), ...routes(), ...flows(), ...(await engines(ending))]
  } finally {
    await ending.end()
  }
}

/* ── 100,000 sessions ── */

async function memory(ending: Ending): Promise<BenchRow[]> {
  const program = await bundled(ending, join(import.meta.dirname, 'lane-memory-child.ts'))
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', program, String(many)])
  const { empty, associations, lapsed, live, released } = JSON.parse(stdout) as LaneMemory
  const kilobytes = (from: number, to: number): number => (to - from) / many / 1_024
  const row = (figure: string, value: number, bar?: string): BenchRow => ({ figure, value, unit: 'KB', ...(bar && { bar }) })
  return [
    row('association that never had a session, of 100,000', kilobytes(empty, associations)),
    row('session that has lapsed, of 100,000, beside its association', kilobytes(associations, lapsed), '<= 1'),
    row('live session, of 100,000: main thread and lane, beside its association', kilobytes(lapsed, live), '<= 6'),
    row('what is kept of it for others when all are released at once', kilobytes(lapsed, released)),
  ]
}

/* ── Tables ── */

function routes(): BenchRow[] {
  const table = new RouteTable<object>()
  const value = {}
  const bytes = heapOf(() => {
    for (let i = 0; i < many; i++) table.insert(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, value)
  })
  const address = Uint8Array.of(10, 0, 0, 0)
  const look = (i: number): object | undefined => {
    const host = Math.imul(i, 40_503) % many
    address[1] = host >> 16
    address[2] = host >> 8
    address[3] = host
    return table.lookup(address)
  }
  return tableRows('route', bytes, look)
}

function flows(): BenchRow[] {
  const table = new LaneFlows()
  const peers = Array.from({ length: 1_000 }, (_, i) => new LanePeer(i + 1))
  const common = { version: 4, protocol: 17, isReply: false, until: Number.POSITIVE_INFINITY, direction: 0 } as const
  const bytes = heapOf(() => {
    for (let i = 0; i < many; i++) {
      const pass = { ...common, source: [i], destination: [i + 1], ports: 0x1000_2000 | 0, from: 1, to: 2, slot: i }
      table.add(new LaneFlow(pass, peers[i % 1_000], peers[(i + 1) % 1_000]))
    }
  })
  const packet = new PlainPacket()
  Object.assign(packet, { version: 4, protocol: 17, ports: 0x1000_2000 | 0 })
  const look = (i: number): object | undefined => {
    const one = Math.imul(i, 40_503) % many
    packet.s0 = one
    packet.d0 = one + 1
    return table.find(packet, peers[one % 1_000])
  }
  return tableRows('flow (one direction) in the lane', bytes, look)
}

function tableRows(what: string, bytes: number, look: (i: number) => object | undefined): BenchRow[] {
  const count = 400_000
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const began = process.hrtime.bigint()
    for (let i = 0; i < count; i++) if (look(i % 50_000) === undefined) throw new Error(`a ${what} is not found`)
    best = Math.min(best, Number(process.hrtime.bigint() - began) / count)
  }
  return [
    { figure: `${what}, of 100,000`, value: bytes / many, unit: 'bytes' },
    { figure: `look-up of a ${what}, among 100,000 at random`, value: best, unit: 'ns' },
  ]
}

function heapOf(fill: () => void): number {
  const used = (): number => {
    globalThis.gc?.()
    globalThis.gc?.()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const before = used()
  fill()
  return used() - before
}

/* ── A hub of its own process, and members around it on loopback ── */

const members = 10
const inner = (i: number): string => `10.90.0.${i + 2}`

interface Running {
  readonly program: Program
  readonly members: readonly Member[]
}

async function hub(ending: Ending, program: string, laned: boolean): Promise<Running> {
  const [own, ...keys] = Array.from({ length: members + 1 }, () => nativeSuite.x25519.generate())
  const peers = keys.map(({ publicKey }, i) => ({ publicKey: toHex(publicKey), endpoint: undefined, routes: [`${inner(i)}/32`] }))
  const spec: EngineSpec = {
    ...{ suite: 'noise', laned, listen: { address: '127.0.0.1', port: 0 }, tun: undefined, local: ['10.90.0.1'], peers },
    publicKey: toHex(own!.publicKey),
    privateKey: toHex(own!.privateKey),
  }
  const child = Program.command(process.execPath, [program, JSON.stringify(spec)])
  ending.after(() => child.stop())
  const { port } = await child.event(({ event }) => event === 'ready')
  const at = { endpoint: { address: '127.0.0.1', port: Number(port) }, publicKey: spec.publicKey }
  return { program: child, members: await Promise.all(keys.map((key, i) => Member.join(ending, key, inner(i), at))) }
}

async function engines(ending: Ending): Promise<BenchRow[]> {
  const program = await bundled(ending, join(import.meta.dirname, 'engine-child.ts'))
  const laned = await hub(ending, program, true)
  const portable = await hub(ending, program, false)
  const [fast, plain] = await interleaved([laned, portable])
  // What only the start has needed is given back then (`start-memory.ts`); what is read again afterwards counts.
  await setTimeout(afterStart)
  await interleaved([laned, portable])
  const times = (what: string, q: number): BenchRow => ({
    figure: `one packet there and back over a relay, ${what}`,
    value: quantile(fast!, q) * 1_000,
    unit: 'us',
    bar: '<= the portable engine',
    beside: `portable ${(quantile(plain!, q) * 1_000).toFixed(0)} us`,
  })
  const [one, other] = [memoryOf([laned.program.pid]), memoryOf([portable.program.pid])]
  return [
    times('p50', 0.5),
    times('p99', 0.99),
    {
      figure: 'resident memory of an engine with 10 sessions',
      value: one.resident,
      unit: 'MB',
      bar: '<= 70',
      beside: `${one.proportional.toFixed(0)} without what processes of Node share; portable ${other.resident.toFixed(0)}`,
    },
  ]
}

/** Round trips between the first two members of each, in turns. */
async function interleaved(hubs: readonly Running[]): Promise<number[][]> {
  const times: number[][] = hubs.map(() => [])
  for (const { members } of hubs) {
    for (const member of members) member.echo()
    for (const member of members) for (const other of members) if (other !== member) await trip(member, other)
  }
  for (let i = 0; i < trips + 200; i++) {
    for (const [which, { members }] of hubs.entries()) {
      const [a, b] = members as [Member, Member]
      if (i === 0) b.echo()
      const time = await trip(a, b)
      if (i >= 200) times[which]!.push(time)
    }
  }
  return times
}

async function trip(from: Member, to: Member): Promise<number> {
  to.echo()
  for (let tries = 0; tries < 5; tries++) {
    const time = await from.roundTrip(to.address)
    if (time !== undefined) return time
  }
  throw new Error('packets do not come back')
}
