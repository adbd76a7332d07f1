import type { Registry } from '#broker/registry/registry.ts'
import type { StoredStatement } from '#broker/registry/statements.ts'
import type { Station } from '#broker/stations/station.ts'
import type { MadeDevice } from '#broker/stations/unit-register.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { PeerStatement } from '#shared/fleet/statement.ts'
import { delegationFor, type SignedDelegation, vouchingOf } from './station-vouching.ts'

interface Parts {
  registry: Pick<Registry, 'directory' | 'statements' | 'stations' | 'stationUnits'>
  suite: Pick<Suite, 'hash'>
  /** Wall-clock ms. */
  now: number
}

interface Made extends MadeDevice {
  readonly station: Station
  readonly delegation: SignedDelegation
}

/** The devices that stations have made which may vouch for them, at one moment. */
export class VouchedDevices {
  readonly #parts: Parts
  /** By the public id of the device. */
  readonly #made: ReadonlyMap<string, Made>

  private constructor(parts: Parts, made: ReadonlyMap<string, Made>) {
    this.#parts = parts
    this.#made = made
  }

  /** Of all stations, or of one. */
  static async load(parts: Parts, of: Iterable<Station> = parts.registry.stations.all()): Promise<VouchedDevices> {
    const { registry, now } = parts
    const made = new Map<string, Made>()
    for (const station of of) {
      const delegation = delegationFor(registry, station, now)
      if (delegation === undefined) continue
      for (const device of await registry.stationUnits.made(station))
        made.set(device.principal.publicId, { ...device, station, delegation })
    }
    return new VouchedDevices(parts, made)
  }

  all(): Iterable<Made> {
    return this.#made.values()
  }

  /**
   * How a device stands; undefined where no station may vouch for it. A device that has another tunnel key by now than its station has
   * certified is none of these: its station could not know it.
   */
  standing(
    draft: PeerStatement,
    entry: StoredStatement | undefined,
  ): { station: string; vouching: 'vouched' | 'waits' } | undefined {
    const made = this.#made.get(draft.id)
    if (made === undefined) return undefined
    const vouching = vouchingOf(draft, entry, made.delegation, this.#parts)
    const isLost = vouching === 'none' || (vouching === 'waits' && made.principal.tunnelKey !== made.certified())
    return isLost ? undefined : { station: made.station.station, vouching }
  }
}
