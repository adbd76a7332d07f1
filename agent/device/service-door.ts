import type { FleetTrust } from '#agent/core/fleet-trust.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { within } from '#shared/platform/within.ts'
import { seconds } from '#shared/time/instant.ts'

/** Whom the services of a device let in. */
export interface Admission {
  /** Whether whoever is at this inner address may open this inner port, and may stay. */
  admits(from: string, port: number): boolean
  /** Likewise of somebody who knocks and whom we do not know yet. */
  receives(from: string, port: number): Promise<boolean>
}

interface DoorPorts {
  readonly trust: Pick<FleetTrust, 'allows' | 'refused'>
  readonly timers: Timers
  /** Whether statements that were shown to us open an association from there to this port. */
  opens(from: string, port: number): boolean
  /** Asks the broker for the set of statements of this moment. */
  ask(): void
}

/** The broker's set comes so soon after what was signed, or not at all. */
const PATIENCE = seconds(5)

/**
 * Under a pinned fleet key a service is opened by the set of statements that the broker keeps for us: so what it leaves out is closed,
 * though it was signed once. An operator may be ahead of it by a moment, with a grant that is a second old: who has shown one waits at
 * the door until the set has come.
 */
export class ServiceDoor implements Admission {
  readonly #ports: DoorPorts
  readonly #waiting = new Set<() => void>()

  constructor(ports: DoorPorts) {
    this.#ports = ports
  }

  admits(from: string, port: number): boolean {
    return this.#ports.trust.allows(from, port)
  }

  async receives(from: string, port: number): Promise<boolean> {
    const { trust, opens } = this.#ports
    if (!this.admits(from, port) && opens(from, port)) await this.#next(() => this.admits(from, port))
    if (this.admits(from, port)) return true
    trust.refused(from, port)
    return false
  }

  /** Another set of statements is held than before. */
  changed(): void {
    for (const look of [...this.#waiting]) look()
  }

  #next(isThere: () => boolean): Promise<void> {
    const { timers, ask } = this.#ports
    let look = (): void => {}
    const come = new Promise<void>((resolve) => {
      look = () => {
        if (isThere()) resolve()
      }
    })
    this.#waiting.add(look)
    ask()
    return within(timers, PATIENCE, come, () => {}).finally(() => this.#waiting.delete(look))
  }
}
