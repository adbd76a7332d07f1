import { nativeSuite } from '#shared/crypto/native.ts'
import { decodeClaim } from '#shared/enrolment/claim.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { Log } from '#shared/platform/log.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { buildTime } from '#shared/platform/version.ts'
import { type Duration, type WallTime, wallTime } from '#shared/time/instant.ts'
import { SimulatedDevice } from '#sim/device.ts'
import { DeviceClock } from '#sim/device-clock.ts'
import { Flash } from '#sim/flash.ts'
import { enrolBoard } from '#sim/io/board-identity.ts'
import { NatNetwork } from '#sim/io/nat-network.ts'
import type { LinkQuality } from '#sim/link.ts'
import { type NatKind, natKinds } from '#sim/nat-box.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import { Sensors } from '#sim/sensors.ts'

export interface FleetOptions {
  devices: number
  claim: string
  nat: NatKind
  mappingTimeout: Duration
  link: LinkQuality
  seed: number
  /** Boards without a battery start in 1970. */
  withoutBattery: boolean
  readingInterval: Duration | undefined
  authorizedKeys: readonly string[]
  /** Breaks one part on purpose: the sites' NATs pass nothing, or no board has an sshd. */
  fault?: 'nat' | 'sshd' | undefined
  log: Log
  onEvent(event: FleetEvent): void
}

/** One JSON line each. */
export type FleetEvent =
  | { event: 'enrolled'; name: string; addresses: readonly string[] }
  | { event: 'up' | 'connecting' | 'down'; name: string; [field: string]: unknown }
  | { event: 'failed'; index: number; message: string }

/** Boards behind one NAT box, and boards that enrol at once. */
const devicesPerSite = 64
const enrollingAtOnce = 8

/** Many simulated boards from one claim: sites of up to 64 behind a NAT each, all in this process. */
export class Fleet {
  readonly #options: FleetOptions
  readonly #sites: NatNetwork[] = []
  readonly #devices: SimulatedDevice[] = []
  #stopped = false

  constructor(options: FleetOptions) {
    this.#options = options
  }

  /** Resolves when every board has enrolled and runs; throws the first refusal. */
  async start(): Promise<void> {
    const { devices, seed, nat, mappingTimeout, link, fault, claim } = this.#options
    const random = new SeededRandom(seed)
    const decoded = decodeClaim(claim, nativeSuite)
    for (let site = 0; site < Math.ceil(devices / devicesPerSite); site++) {
      const network = new NatNetwork({ ...natKinds[nat], mappingTimeout }, link, random.fork())
      network.blocked = fault === 'nat'
      this.#sites.push(network)
    }
    const boards = Array.from({ length: devices }, (_, index) => ({ index, random: random.fork() }))
    const worker = async (): Promise<void> => {
      for (let board = boards.shift(); board && !this.#stopped; board = boards.shift()) {
        const { index } = board
        await this.#startBoard(index, board.random, decoded).catch((error: Error) => {
          this.#options.onEvent({ event: 'failed', index, message: error.message })
          throw error
        })
      }
    }
    await Promise.all(Array.from({ length: enrollingAtOnce }, worker))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#devices.map((device) => device.stop()))
    for (const site of this.#sites) site.close()
  }

  async #startBoard(index: number, random: SeededRandom, claim: ReturnType<typeof decodeClaim>): Promise<void> {
    const { withoutBattery, authorizedKeys, readingInterval, fault, log, onEvent } = this.#options
    const clock = withoutBattery ? DeviceClock.withoutBattery(systemClock) : systemClock
    const flash = new Flash()
    const identity = await enrolBoard(claim, flash, () => judgedAt(clock.wall()), nativeSuite)
    onEvent({ event: 'enrolled', name: identity.name, addresses: identity.config.inner.addresses })
    const site = this.#sites[Math.floor(index / devicesPerSite)]!
    const inside = { address: `192.168.7.${2 + (index % devicesPerSite)}`, port: 4500 }
    const device = new SimulatedDevice({
      identity,
      flash,
      clock,
      timers: systemTimers,
      suite: nativeSuite,
      log,
      sensors: new Sensors(random),
      authorizedKeys,
      readingInterval,
      withoutShell: fault === 'sshd',
      join: (receive) => site.join(inside, receive),
      onEvent: (event) => {
        if (event.kind === 'up') {
          const { address, port } = event.endpoint
          onEvent({ event: 'up', name: identity.name, endpoint: `${address}:${port}`, handshakes: event.handshakes })
        } else if (event.kind === 'connecting') onEvent({ event: 'connecting', name: identity.name, why: event.why })
        else if (event.kind === 'down') onEvent({ event: 'down', name: identity.name })
      },
    })
    this.#devices.push(device)
    await device.start()
  }
}

/** Certificates are judged no earlier than the build, whatever a board's clock says (DESIGN D5). */
const judgedAt = (wall: WallTime): WallTime => wallTime(Math.max(wall, buildTime))
