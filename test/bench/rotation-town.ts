import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type Line, phases } from '#broker/identity/succession.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import { BundledBroker } from '#test/bench/bundled-broker.ts'
import type { RotationReport } from '#test/bench/rotation-child.ts'
import { RotationProcess } from '#test/bench/rotation-process.ts'

type Step = (typeof phases)[number] | 'finished'

/** What of `ca status` is read. */
interface CaStatus {
  readonly root: { readonly trusted: readonly string[] }
  readonly authorities: readonly { readonly role: string; readonly issues: boolean; readonly holders: number }[]
  readonly rotation: { readonly line: Line; readonly phase: string } | null
}

export interface Judgement {
  readonly lost: number
  /** What the broker's registry says of all, in words. */
  readonly registry: string
  readonly kills: number
  readonly powerCuts: number
  /** Milliseconds. */
  readonly rootTimes: readonly number[]
  readonly certificateTimes: readonly number[]
  readonly wakingTimes: readonly number[]
  readonly brokerMegabytes: number
}

/** Asleep in each phase, and which part of them wakes in the next; a tenth of those who sleep first sleeps to the end. */
const asleepShare = 0.1
const wakingShare = 0.6
const longSleepShare = 0.1
/** So long after a step's order, and after its answer, the broker is killed at most. */
const killWithinMs = { step: 25, following: 4_000 }
/** When half of the boards lose their power, and so long after the step at most. */
const powerCutAt: readonly { readonly line: Line; readonly step: Step; readonly process: number }[] = [
  { line: 'root', step: 'retired', process: 0 },
  { line: 'device', step: 'issuing', process: 1 },
]
const powerCutWithinMs = 15_000
/** How often a person who waits hears how far it is. */
const tellEveryMs = 15_000

/** One broker process, two processes of agents, and what becomes of them. */
export class RotationTown {
  readonly #parent: string
  readonly #agents: number
  readonly #random: SeededRandom
  readonly #processes: RotationProcess[] = []
  readonly #asleep = new Set<number>()
  readonly #sleepsLong = new Set<number>()
  readonly #times = { root: [] as number[], certificate: [] as number[], waking: [] as number[] }
  /** As each agent was seen last. */
  #seen = new Map<number, RotationReport>()
  #broker!: BundledBroker
  #firstIssuer = ''
  #kills = 0
  #powerCuts = 0

  private constructor(parent: string, agents: number, seed: number) {
    this.#parent = parent
    this.#agents = agents
    this.#random = new SeededRandom(seed)
  }

  /** All are enrolled and connected. */
  static async open(agents: number, seed: number): Promise<RotationTown> {
    const town = new RotationTown(mkdtempSync(join(process.env.ADIT_BENCH_DIR ?? tmpdir(), 'adit-rotation-')), agents, seed)
    town.#broker = await BundledBroker.start(town.#data)
    const { claim } = await town.#broker.ask<{ claim: string }>('claim.create', {
      role: 'device',
      name: 'agent-{n}',
      uses: agents,
    })
    const began = performance.now()
    const orders = [0, 1].map((half) => {
      const numbers = town.#all.filter((number) => number % 2 === half)
      return { folder: town.#parent, claim, numbers, awake: numbers }
    })
    town.#processes.push(...(await Promise.all(orders.map((order) => RotationProcess.start(order)))))
    town.#say('enrolled and started', began)
    await town.#until(async () => (await town.#connected()) >= agents)
    town.#seen = await town.#look()
    town.#firstIssuer = town.#seen.get(0)!.issuer
    town.#say(`${agents} agents enrolled and connected`, began)
    return town
  }

  get #data(): string {
    return join(this.#parent, 'data')
  }

  get #all(): number[] {
    return Array.from({ length: this.#agents }, (_, number) => number)
  }

  get #awake(): number[] {
    return this.#all.filter((number) => !this.#asleep.has(number))
  }

  async rotate(line: Line): Promise<void> {
    for (const step of [...phases, 'finished'] as const) {
      const began = performance.now()
      const waking = await this.#changeOfGuard()
      await this.#step(line, step)
      const from = systemClock.wall()
      await wait(this.#random.below(killWithinMs.following))
      await this.#killBroker()
      await Promise.all(this.#processes.map((process) => process.wake(waking)))
      for (const { process } of powerCutAt.filter((cut) => cut.line === line && cut.step === step)) await this.#powerCut(process)
      const late = await this.#followed(from)
      this.#say(`${line} ${step}: ${this.#asleep.size} asleep, ${waking.length} woken, ${late} late`, began)
    }
  }

  /** Everybody wakes, and shows what has become of it. */
  async judge(): Promise<Judgement> {
    const began = performance.now()
    const from = systemClock.wall()
    const waking = [...this.#asleep]
    this.#asleep.clear()
    await Promise.all(this.#processes.map((process) => process.wake(waking)))
    const late = await this.#followed(from)
    this.#say(`after all: ${waking.length} woken, ${late} late`, began)
    const brokerMegabytes = Math.round(this.#broker.residentBytes / 1e6)
    const proven = new Set((await Promise.all(this.#processes.map((process) => process.prove()))).flat())
    const status = await this.#broker.status()
    const authorities = await this.#broker.ask<CaStatus>('ca.status', {})
    const seen = await this.#look()
    const isWhole = (number: number): boolean => proven.has(number) && this.#hasFollowed(seen.get(number)!, authorities)
    const lost = this.#all.filter((number) => !isWhole(number))
    for (const number of lost.slice(0, 10)) this.#say(`lost: ${JSON.stringify(seen.get(number))}, proven: ${proven.has(number)}`)
    await this.#broker.stop()
    const registry = await this.#registry(authorities)
    const inRegistry = Math.min(status.devicesUp, status.counters.mqttClients, registry.holders, this.#agents - registry.without)
    return {
      lost: Math.max(lost.length, this.#agents - inRegistry),
      registry: `registry: ${status.devicesUp} up, ${registry.holders} by the next CA, ${registry.without} without the next root`,
      kills: this.#kills,
      powerCuts: this.#powerCuts,
      rootTimes: this.#times.root,
      certificateTimes: this.#times.certificate,
      wakingTimes: this.#times.waking,
      brokerMegabytes,
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop()))
    await this.#broker.kill()
    rmSync(this.#parent, { recursive: true, force: true })
  }

  /** Others go to sleep; returns those who are to wake. */
  async #changeOfGuard(): Promise<number[]> {
    const isFirst = this.#asleep.size === 0
    const waking = [...this.#asleep].filter((number) => !this.#sleepsLong.has(number) && this.#random.chance(wakingShare))
    const wanted = Math.round(this.#agents * asleepShare) - (this.#asleep.size - waking.length)
    const candidates = this.#awake
    const falling: number[] = []
    while (falling.length < wanted) falling.push(...candidates.splice(this.#random.below(candidates.length), 1))
    if (isFirst) for (const number of falling) if (this.#random.chance(longSleepShare)) this.#sleepsLong.add(number)
    await Promise.all(this.#processes.map((process) => process.sleep(falling)))
    for (const number of waking) this.#asleep.delete(number)
    for (const number of falling) this.#asleep.add(number)
    return waking
  }

  /** Ordered, and the broker killed in the midst of it; ordered again where it was not done, as a person would. */
  async #step(line: Line, step: Step): Promise<void> {
    const order = (): Promise<unknown> => this.#broker.ask('ca.rotate', { line, phase: step, force: true })
    const cut = order().catch(() => undefined)
    await wait(this.#random.below(killWithinMs.step))
    await this.#killBroker(cut)
    const { rotation } = await this.#broker.ask<CaStatus>('ca.status', {})
    if (step === 'finished' ? rotation !== null : rotation?.phase !== step) await order()
  }

  /** `meanwhile`: what was asked of it, and ends with it. */
  async #killBroker(meanwhile?: Promise<unknown>): Promise<void> {
    const { port, api } = this.#broker
    await this.#broker.kill()
    await meanwhile
    this.#broker = await BundledBroker.start(this.#data, port, Number(new URL(api).port))
    this.#kills += 1
  }

  async #powerCut(process: number): Promise<void> {
    await wait(this.#random.below(powerCutWithinMs))
    const fleet = this.#processes[process]!
    await fleet.powerCut(this.#awake)
    this.#powerCuts += fleet.numbers.length
  }

  /** Until all who are awake are connected and hold what the authorities ask for; returns how many do not in time. */
  async #followed(from: number): Promise<number> {
    const authorities = await this.#broker.ask<CaStatus>('ca.status', {})
    const behind = (): RotationReport[] =>
      [...this.#seen.values()].filter((one) => !this.#asleep.has(one.number) && !this.#hasFollowed(one, authorities))
    const before = this.#seen
    const began = performance.now()
    let told = began
    await this.#until(async () => {
      this.#seen = await this.#look()
      const connected = await this.#connected()
      if (behind().length === 0 && connected >= this.#awake.length) return true
      if (performance.now() - told > tellEveryMs) {
        told = performance.now()
        this.#say(`  of ${this.#awake.length} awake ${behind().length} are behind, ${connected} connected`, began)
      }
      return false
    })
    for (const one of this.#seen.values()) this.#count(before.get(one.number)!, one, from)
    return behind().length
  }

  #count(before: RotationReport, after: RotationReport, from: number): void {
    const changedAt = Math.max(
      after.roots === before.roots ? 0 : after.rootsAt,
      after.issuer === before.issuer ? 0 : after.issuerAt,
    )
    if (!after.awake || changedAt === 0) return
    if (after.wokenAt > from) this.#times.waking.push(changedAt - after.wokenAt)
    else if (after.issuer !== before.issuer) this.#times.certificate.push(after.issuerAt - from)
    else this.#times.root.push(after.rootsAt - from)
  }

  #hasFollowed({ up, connected, roots, issuer }: RotationReport, { root, authorities, rotation }: CaStatus): boolean {
    // The first CA of devices issues no more once another does.
    const devices = authorities.filter(({ role }) => role === 'device')
    const isOther = devices.length > 1 && !(rotation?.line === 'device' && ['prepared', 'trusted'].includes(rotation.phase))
    return up && connected && roots === root.trusted.join() && (issuer !== this.#firstIssuer) === isOther
  }

  async #look(): Promise<Map<number, RotationReport>> {
    const reports = (await Promise.all(this.#processes.map((process) => process.report()))).flat()
    return new Map(reports.map((report) => [report.number, report]))
  }

  /** How many the broker has in a tunnel, and in MQTT through it: an idle session of the noise suite may lapse, and is none. */
  async #connected(): Promise<number> {
    const { devicesUp, counters } = await this.#broker.status()
    return Math.min(devicesUp, counters.mqttClients)
  }

  async #registry({ root }: CaStatus): Promise<{ holders: number; without: number }> {
    const registry = await Registry.open(this.#data, { clock: systemClock, suite: nativeSuite, log: silentLog })
    const without = await registry.authorities.withoutRoot(root.trusted[0]!)
    const counts = new Map<string, number>()
    for (const { issuerHex } of (await registry.authorities.holdings()).values())
      counts.set(issuerHex, (counts.get(issuerHex) ?? 0) + 1)
    await registry.close()
    // All by one CA: that it is the next one, each has shown.
    return { holders: counts.size === 1 ? [...counts.values()][0]! : 0, without }
  }

  /** What a fleet of this size is given: told 25 a second, and renewing 5 a second, or within a minute. */
  async #until(holds: () => Promise<boolean>): Promise<void> {
    const patience = 120_000 + this.#agents * (40 + 200) + 60_000
    const end = performance.now() + patience
    while (!(await holds()) && performance.now() < end) await wait(1_000)
  }

  /** For a person who waits. */
  #say(what: string, since?: number): void {
    const span = since === undefined ? '' : ` (${((performance.now() - since) / 1_000).toFixed(1)} s)`
    process.stderr.write(`${what}${span}\n`)
  }
}
