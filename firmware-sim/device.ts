import { splitHostPort } from '#agent/core/agent-config.ts'
import { AgentCore, type AgentEvent } from '#agent/core/agent-core.ts'
import { Uplink } from '#agent/io/uplink.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { Driver } from '#shared/platform/driver.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { buildTime } from '#shared/platform/version.ts'
import { Outbox } from '#shared/telemetry/outbox.ts'
import { Quality } from '#shared/telemetry/reading.ts'
import { type Clock, type Duration, elapsed, type Instant } from '#shared/time/instant.ts'
import { TimeFloor } from '#shared/time/time-floor.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { TimestampFloor } from '#shared/tunnel/tai64n.ts'
import { type Flash, FlashOutbox } from '#sim/flash.ts'
import type { BoardIdentity } from '#sim/io/board-identity.ts'
import type { InsideHost } from '#sim/io/nat-network.ts'
import { LoginShell } from '#sim/login-shell.ts'
import type { Sensors } from '#sim/sensors.ts'

export interface DeviceOptions {
  identity: BoardIdentity
  flash: Flash
  clock: Clock
  timers: Timers
  suite: Suite
  log: Log
  sensors: Sensors
  authorizedKeys: readonly string[]
  /** Between two samples of every sensor; undefined takes none. */
  readingInterval?: Duration | undefined
  /** A board whose sshd is broken: nothing answers on port 22. */
  withoutShell?: boolean
  join(receive: (datagram: Uint8Array, from: Endpoint) => void): InsideHost
  onEvent(event: AgentEvent): void
}

const outboxLimits = { rows: 100_000, bytes: 16 * 1024 * 1024 }

/** One simulated board: the real agent core and uplink, on simulated flash, clock, sensors and network. */
export class SimulatedDevice {
  readonly name: string
  readonly core: AgentCore
  readonly #options: DeviceOptions
  readonly #host: InsideHost
  readonly #driver: Driver
  readonly #uplink: Uplink
  readonly #time: TimeFloor
  readonly #startedAt: Instant
  readonly #shell: LoginShell | undefined
  #outbox: Outbox | undefined
  #sampling: Timer | undefined

  constructor(options: DeviceOptions) {
    const { identity, suite, clock, timers, log, flash } = options
    this.#options = options
    this.name = identity.name
    this.#startedAt = clock.now()
    this.#time = new TimeFloor(clock, buildTime, identity.config.time)
    const reserve = (floor: Uint8Array): void => flash.write('floor', floor)
    const timestamps = new TimestampFloor({ wall: () => this.#time.now(), reserve }, flash.read('floor'))
    this.#driver = new Driver(clock, timers)
    this.core = new AgentCore({
      suite,
      clock,
      tunnelKey: identity.keys.tunnel,
      ports: {
        send: (datagram, to) => this.#host.send(datagram, to),
        nextTimestamp: () => timestamps.next(),
        wake: (at) => this.#driver.wake(at),
        event: (event) => this.#event(event, timestamps),
      },
    })
    this.#host = options.join((datagram, from) => this.core.receive(datagram, from))
    this.#uplink = new Uplink({
      suite,
      timers,
      log,
      name: this.name,
      connect: () => this.#connectToBroker(),
      now: () => Math.round(this.#time.now()),
      // Simulated flash does not rot.
      onOutboxError: () => {},
    })
    if (!options.withoutShell) this.#shell = this.#openShell()
    this.#driver.add(this.core)
    this.core.configure(identity.config, endpointsOf(identity))
  }

  /** Mounts the flash and begins to sample. */
  async start(): Promise<void> {
    const { flash, readingInterval } = this.#options
    this.#outbox = await Outbox.open(new FlashOutbox(flash), {
      limits: outboxLimits,
      now: () => Math.round(this.#time.now()),
      onAppended: () => this.#uplink.kick(),
    })
    this.#uplink.setOutbox(this.#outbox)
    if (readingInterval !== undefined) await this.#sample(readingInterval)
  }

  async stop(): Promise<void> {
    this.#sampling?.clear()
    this.#shell?.close()
    await this.#uplink.stop()
    this.core.stop()
    this.#driver.close()
    this.#host.leave()
  }

  #openShell(): LoginShell {
    const { authorizedKeys, clock, sensors } = this.#options
    const shell = new LoginShell({
      hostName: this.name,
      authorizedKeys,
      uptimeSeconds: () => elapsed(this.#startedAt, clock.now()) / 1_000,
      readings: () => sensors.sample(),
    })
    this.core.netstack.listen({ port: 22, allowHalfOpen: true }, (socket) => shell.accept(socket.setNoDelay(true)))
    this.#uplink.setHostKeys({ ssh: [shell.publicHostKey] })
    return shell
  }

  #connectToBroker() {
    const { broker } = this.#options.identity.config
    return this.core.netstack.connect({ address: broker.inner[0]!, port: broker.mqttPort }).setNoDelay(true)
  }

  #event(event: AgentEvent, timestamps: TimestampFloor): void {
    if (event.kind === 'up') void this.#uplink.start()
    if (event.kind === 'connecting') this.#uplink.pause()
    if (event.kind === 'ask-timestamp') void this.#askTimestamp(timestamps)
    this.#options.onEvent(event)
  }

  /** Nobody answers: perhaps our clock is behind what the broker has seen from us (DESIGN D5). */
  async #askTimestamp(timestamps: TimestampFloor): Promise<void> {
    const { api, close } = this.#options.identity.openApi()
    try {
      const taken = await api.timestamp()
      if (taken) timestamps.raise(taken)
      this.core.nudge()
    } catch (error) {
      this.#options.log.debug({ device: this.name, error: String(error) }, 'the API does not answer either')
    } finally {
      close()
    }
  }

  async #sample(every: Duration): Promise<void> {
    const at = Math.round(this.#time.now())
    const quality = this.#time.isUnsure ? Quality.clockUnsure : Quality.good
    const samples = this.#options.sensors.sample().map(({ name, value, unit }) => ({ name, value, unit, at, quality }))
    try {
      await this.#outbox?.append(samples)
    } catch (error) {
      this.#options.log.warn({ device: this.name, error: String(error) }, 'the flash refuses readings')
    }
    this.#sampling = this.#options.timers.setTimer(every, () => void this.#sample(every))
  }
}

const endpointsOf = ({ config }: BoardIdentity): Endpoint[] =>
  config.broker.endpoints.map(splitHostPort).filter((endpoint) => endpoint !== undefined)
