import type { UnitDesk } from '#agent/station/unit-desk.ts'
import { AditError } from '#shared/errors.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Duration, seconds } from '#shared/time/instant.ts'
import type { LineGuests } from './est-door.ts'
import type { Way } from './way.ts'

/** From a board's word to the ledger. */
const recordPatience = seconds(10)

interface Expected {
  /** Settled when the board holds its identity, or is given up. */
  readonly arrived: Promise<string>
  arrive(evidence: string): void
  giveUp(error: AditError): void
}

/** How the way opens the line's door for a desk: with the first unit, since not before is there one. */
export type OpenDoor = (desk: UnitDesk, guests: LineGuests) => Promise<{ close(): Promise<void> }>

/**
 * The board comes to the station: it finds it on the LAN, makes its keys, and enrols. A delivery waits until the board says that it has its
 * identity on its disk; boards that nobody delivers to are not served.
 */
export class NetworkWay implements Way, LineGuests {
  readonly kind = 'network'
  readonly #open: OpenDoor
  readonly #timers: Timers
  readonly #patience: Duration
  readonly #expected = new Map<string, Expected>()
  #desk: UnitDesk | undefined
  #door: Promise<{ close(): Promise<void> }> | undefined

  /** `patience`: how long a board may take to come, power-on included. */
  constructor(open: OpenDoor, timers: Timers, patience: Duration) {
    this.#open = open
    this.#timers = timers
    this.#patience = patience
  }

  async deliver(desk: UnitDesk, serial: string): Promise<string> {
    this.#desk = desk
    this.#door ??= this.#open(desk, this)
    await this.#door
    const expected = this.#expected.get(serial) ?? expect()
    this.#expected.set(serial, expected)
    const timer = this.#timers.setTimer(this.#patience, () => expected.giveUp(neverCame(serial, this.#patience)))
    try {
      desk.step(serial, 'writing')
      return await expected.arrived
    } finally {
      timer.clear()
      this.#expected.delete(serial)
    }
  }

  /** Those that are delivered to, and those that were: a board that did not hear the end of it asks again. */
  async expects(serial: string): Promise<boolean> {
    if (this.#expected.has(serial)) return true
    const record = await this.#desk?.record(serial)
    return record?.way === 'network' && record.step === 'delivered'
  }

  /** The board hears of it when it is in the ledger, and asks again until then: neither side forgets the other by a power cut. */
  async held(serial: string, evidence: string): Promise<void> {
    const desk = this.#desk!
    desk.step(serial, 'verifying')
    const recorded = new Promise<void>((resolve, reject) => {
      let timer: Timer | undefined
      const stop = desk.onEvent((event) => {
        if (event.serial === serial && event.step === 'delivered') settle(resolve)
      })
      const settle = (act: () => void): void => {
        timer?.clear()
        stop()
        act()
      }
      // Last: it must not go on without the others.
      timer = this.#timers.setTimer(recordPatience, () => settle(() => reject(notRecorded(serial))))
      desk.record(serial).then(
        (record) => {
          if (record?.step === 'delivered') settle(resolve)
          else this.#expected.get(serial)?.arrive(evidence)
        },
        (error) => settle(() => reject(error)),
      )
    })
    await recorded
  }

  async close(): Promise<void> {
    for (const [serial, expected] of this.#expected) expected.giveUp(neverCame(serial))
    const door = await this.#door?.catch(() => undefined)
    await door?.close()
  }
}

function expect(): Expected {
  let [arrive, giveUp]: [Expected['arrive'], Expected['giveUp']] = [() => {}, () => {}]
  const arrived = new Promise<string>((resolve, reject) => {
    arrive = resolve
    giveUp = reject
  })
  // The way may be closed before anybody awaits it.
  arrived.catch(() => {})
  return { arrived, arrive, giveUp }
}

const neverCame = (serial: string, patience?: Duration): AditError =>
  new AditError(
    'line-lost',
    `The board ${serial} has not come to the line${patience ? ` within ${patience / 1000} s` : ''}.`,
    'Power it on in the LAN of this station, with the image of this line; then try again: adit station retry',
  )

const notRecorded = (serial: string): AditError =>
  new AditError('line-lost', `The station has not recorded the board ${serial}.`, 'Look at the log of the station.')
