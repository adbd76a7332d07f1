import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { defaultConfig } from '#agent/device/config.ts'
import { DeviceAgent, type DeviceEvent } from '#agent/device/device-agent.ts'
import type { BrokerApi } from '#agent/io/broker-api.ts'
import { enrol } from '#agent/io/enrol.ts'
import { Identity } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { type RunningBroker, startBroker } from '#broker/broker.ts'
import { Authority } from '#broker/identity/authority.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import type { HardwareHints } from '#shared/enrolment/hardware-hints.ts'
import { toAditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { type Clock, wallTime } from '#shared/time/instant.ts'
import type { TimeFloor } from '#shared/time/time-floor.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { config, eventually } from '#test/broker/broker-fixture.ts'
import { copyFolder } from '#test/lab/copy-folder.ts'

/** A wall clock that a test sets; the monotonic one is the machine's. */
export class SetClock implements Clock {
  #offset = 0

  readonly now = (): ReturnType<Clock['now']> => systemClock.now()
  readonly wall = (): ReturnType<Clock['wall']> => wallTime(systemClock.wall() + this.#offset)

  set(ms: number): void {
    this.#offset = ms - systemClock.wall()
  }
}

/** A real broker and real device agents in this process, each with a wall clock of its own, over loopback. */
export class LifeScene {
  readonly folder = mkdtempSync(join(tmpdir(), 'adit-life-'))
  readonly clock = new SetClock()
  readonly #days: { readonly renewDays?: number; readonly shelfDays?: number }
  registry!: Registry
  authority!: Authority
  broker!: RunningBroker
  #udp = 0
  #api = 0

  /** `days`: of the lanes of expired certificates, where they are not the standard ones. */
  constructor(t: TestContext, days: { readonly renewDays?: number; readonly shelfDays?: number } = {}) {
    this.#days = days
    t.after(async () => {
      await this.close()
      rmSync(this.folder, { recursive: true, force: true })
    })
  }

  async open(): Promise<void> {
    const ports = { clock: this.clock, suite: nativeSuite, log: silentLog }
    this.registry = await Registry.open(join(this.folder, 'data'), ports)
    this.authority = await Authority.openOrCreate(join(this.folder, 'data'), ports)
    this.broker = await startBroker(
      {
        ...config,
        udp: { address: '127.0.0.1', port: this.#udp },
        api: `127.0.0.1:${this.#api}`,
        ...this.#days,
      },
      { ...ports, registry: this.registry, authority: this.authority },
    )
    this.#udp = portOf(this.broker.ready.listen)
    this.#api = portOf(this.broker.ready.api)
  }

  async close(): Promise<void> {
    await this.broker.close()
    await this.registry.close()
  }

  /** Off and on again, from the disk, on the same ports. */
  async restart(): Promise<void> {
    await this.close()
    await this.open()
  }

  async claim(name: string): Promise<string> {
    const { id, secret, summary } = await this.registry.claims.create({ role: 'device', name })
    const { role } = summary
    return encodeClaim(
      { api: [this.broker.ready.api], ca: this.authority.rootFingerprint, id, secret, role: role as 'device' },
      nativeSuite,
    )
  }

  /** A board on which a device is enrolled; not started. */
  async board(t: TestContext, name: string, hints: HardwareHints): Promise<Board> {
    const board = new Board(t, join(this.folder, name), hints)
    const folder = await StateFolder.open(board.path)
    const identity = await enrol({ ...board.ports, folder, token: await this.claim(name), role: 'device' })
    identity.close()
    return board
  }

  /** One that has enrolled by itself, with its state in that folder. */
  machine(t: TestContext, path: string, hints: HardwareHints): Board {
    return new Board(t, path, hints)
  }

  isUp(name: string): boolean {
    return this.broker.gateway.presence(this.registry.devices.get(name)).state === 'up'
  }

  async audited(action: string): Promise<number> {
    return (await this.registry.audit.query({ limit: 1_000 })).filter((row) => row.action === action).length
  }
}

/** One machine with a state folder, which can be switched on and off, and copied. */
export class Board {
  readonly clock = new SetClock()
  readonly ports = { suite: nativeSuite, clock: this.clock, log: silentLog }
  readonly path: string
  readonly #t: TestContext
  hints: HardwareHints
  speaks: SuiteName = 'noise'
  /** Whether each renewal makes a new identity key. */
  renewsKey = false
  events: DeviceEvent[] = []
  agent: DeviceAgent | undefined
  /** Whether another identity in the folder is taken up at once, as `run` does. */
  follows = true
  #identity: Identity | undefined
  #turning: Promise<void> = Promise.resolve()
  #isOn = false

  constructor(t: TestContext, path: string, hints: HardwareHints) {
    this.#t = t
    this.path = path
    this.hints = hints
    t.after(() => this.off())
  }

  async on(): Promise<void> {
    this.#isOn = true
    await this.#next(() => this.#start())
  }

  /** One thing after the other. */
  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#turning.then(work)
    this.#turning = done.catch(() => undefined)
    return done
  }

  async #start(): Promise<void> {
    this.#identity = await Identity.load(await StateFolder.open(this.path), { ...this.ports, renewsKey: this.renewsKey })
    this.agent = await DeviceAgent.start({
      ...this.ports,
      timers: systemTimers,
      identity: this.#identity!,
      config: { ...defaultConfig, services: [], mqtt: 'off', portMapping: false, suite: this.speaks },
      hints: async () => this.hints,
      onEvent: (event) => this.events.push(event),
      onOrder: () => undefined,
      onReplaced: () => {
        // It may be said while this agent still starts: the next one begins when this one can be stopped.
        if (this.follows) void this.#next(() => this.#turn())
      },
    })
  }

  async off(): Promise<void> {
    this.#isOn = false
    await this.#next(async () => {
      await this.agent?.stop()
      this.#identity?.close()
      this.agent = undefined
    })
  }

  /** An agent that is just being stopped may still say that there is another identity: nobody follows it then. */
  async #turn(): Promise<void> {
    if (!this.#isOn) return
    await this.agent?.stop()
    this.#identity?.close()
    await this.#start()
  }

  /** The state as it lies on the disk at this moment, on another machine. */
  copyTo(path: string, hints: HardwareHints): Board {
    copyFolder(this.path, path)
    return new Board(this.#t, path, hints)
  }

  heard(event: DeviceEvent['event']): boolean {
    return this.events.some((heard) => heard.event === event)
  }

  get isUp(): boolean {
    return this.agent?.status().tunnel.state === 'up'
  }

  /** The code of the refusal that its identity meets, or `granted`. */
  api(ask: (api: BrokerApi) => Promise<unknown>): Promise<string> {
    return outcome(ask(this.#identity!.api()))
  }

  get identityKey(): Uint8Array | undefined {
    return this.#identity?.keys.identity.publicKey
  }

  renew(): Promise<string> {
    return outcome(this.#identity!.renew())
  }

  /** What the device that was started last takes for the time. */
  get time(): TimeFloor {
    return this.#identity!.floors.time
  }

  /** Whether the broker can tell it something. */
  get reports(): boolean {
    return this.agent?.status().uplink.connected === true
  }

  async up(withinMs = 10_000): Promise<number> {
    const from = performance.now()
    await eventually(() => this.isUp, withinMs, 'the tunnel')
    return Math.round(performance.now() - from)
  }
}

const outcome = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'granted',
    (error) => toAditError(error).code,
  )

const portOf = (text: string): number => Number(text.split(':').at(-1))
