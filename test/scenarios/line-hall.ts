import { setTimeout as wait } from 'node:timers/promises'
import { type OpenOptions, OpenStation } from '#agent/station/io/open-station.ts'
import { type Outcome, provisionUnit } from '#agent/station/io/provision.ts'
import type { StationDesk } from '#agent/station/io/station-desk.ts'
import { wayParts } from '#agent/station/io/way-parts.ts'
import type { UnitDesk } from '#agent/station/unit-desk.ts'
import type { LineGuests } from '#agent/station/ways/est-door.ts'
import { guestsOf, type Line, openLine } from '#agent/station/ways/line.ts'
import { NetworkWay, type OpenDoor } from '#agent/station/ways/network-way.ts'
import type { Way } from '#agent/station/ways/way.ts'
import type { WayParts } from '#agent/station/ways/way-of.ts'
import { toAditError } from '#shared/errors.ts'
import { backgroundTimers } from '#shared/platform/timers.ts'
import { minutes } from '#shared/time/instant.ts'
import { Power } from '#test/lab/power.ts'

/** A station from one switching on to the next. */
export interface Shift {
  readonly power: Power
  readonly station: OpenStation
  readonly parts: WayParts
  readonly network: NetworkWay
}

/** A station's place in the hall: it is switched off at any moment, and on again at once, over the same disk. */
export class Hall {
  cuts = 0
  /** For the image of the boards; once the door was open. */
  token = ''
  readonly #options: OpenOptions
  #port = 0
  #shift: Promise<Shift>

  private constructor(options: OpenOptions) {
    this.#options = options
    this.#shift = this.#switchOn()
  }

  static async open(options: OpenOptions): Promise<Hall> {
    const hall = new Hall(options)
    await hall.shift
    return hall
  }

  /** The one that has power now. */
  get shift(): Promise<Shift> {
    return this.#shift
  }

  /** What a person at the counter does with one board. `cutAt`: moment of this attempt at which the power goes. */
  async provision(serial: string, wayOf: (shift: Shift) => Way, cutAt?: number): Promise<Outcome> {
    const shift = await this.#shift
    const desk: StationDesk = shift.power.wired(shift.station.desk, cutAt)
    try {
      return await provisionUnit({ desk, way: wayOf(shift), printer: undefined }, { serial })
    } catch (error) {
      return { ok: false, serial, error: toAditError(error), retry: true }
    }
  }

  /** Something else that is done at the station; where its power goes meanwhile, again. */
  async at<Result>(work: (station: OpenStation) => Promise<Result>): Promise<Result> {
    for (;;) {
      const { cuts } = this
      const { station, power } = await this.#shift
      try {
        const result = await work(station)
        if (power.on) return result
      } catch (error) {
        if (this.cuts === cuts) throw error
      }
    }
  }

  /** As `adit station run` does: from now on it serves whom its ledger has, and nobody delivers. */
  async openDoor(): Promise<{ close(): Promise<void> }> {
    const { network, station, parts } = await this.#shift
    await network.close()
    return this.#openLine(
      station.desk,
      parts,
      guestsOf(station.desk, async () => false),
    )
  }

  async close(): Promise<void> {
    await this.#switchOff(await this.#shift)
  }

  async #switchOn(): Promise<Shift> {
    const station = await OpenStation.open(this.#options)
    const context = { path: this.#options.path, ports: () => this.#options, note: () => {}, json: false, write: async () => {} }
    const parts = await wayParts(station, context)
    const open: OpenDoor = (desk, guests) => this.#openLine(desk, parts, guests)
    const network = new NetworkWay(open, backgroundTimers, minutes(1))
    const shift: Shift = { power: new Power(() => this.#cut(shift)), station, parts, network }
    return shift
  }

  /** Where boards have found it before, by the token that they have. */
  async #openLine(desk: UnitDesk, parts: WayParts, guests: LineGuests): Promise<Line> {
    const line = await openLine(desk, { ...parts, listen: { host: '127.0.0.1', port: this.#port } }, guests)
    this.#port = line.port
    this.token = line.token
    return line
  }

  #cut(shift: Shift): void {
    this.cuts += 1
    this.#shift = this.#switchOff(shift).then(() => this.#switchOn())
  }

  async #switchOff({ network, station }: Shift): Promise<void> {
    await network.close()
    await station.close()
  }

  /** The door of the network way opens with its first unit. */
  async doorToken(): Promise<string> {
    while (this.token === '') await wait(5)
    return this.token
  }
}
