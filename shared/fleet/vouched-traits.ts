import { toHex } from '#shared/bytes/hex.ts'
import { type PeerStatement, subjectOf } from './statement.ts'

/** What is remembered of who vouched for what, between two runs. */
export interface TraitRecord {
  /** Under the administrator's key: the subject by trait. */
  readonly signed: Readonly<Record<string, string>>
  /** Of each station, by its id: the highest version by trait. */
  readonly stations: Readonly<Record<string, Readonly<Record<string, number>>>>
}

/** Traits that are remembered of the administrator's peers, and of each station's. A station pushes out its own alone. */
const signedLimit = 16_384
const stationLimit = 8_192

/**
 * Whose a subject, a name, a tunnel key or an address is: what the administrator has vouched for is no station's ever after, also where a
 * broker leaves the administrator's statement out; and what one station has vouched for is no other's. Of one station the newest word on
 * each of them holds, so that none of its statements is played back.
 */
export class VouchedTraits {
  readonly #signed = new Map<string, string>()
  readonly #stations = new Map<string, Map<string, number>>()

  constructor(record?: TraitRecord) {
    for (const [trait, subject] of Object.entries(record?.signed ?? {})) this.#signed.set(trait, subject)
    for (const [station, traits] of Object.entries(record?.stations ?? {}))
      this.#stations.set(station, new Map(Object.entries(traits)))
  }

  get record(): TraitRecord {
    const stations = [...this.#stations].map(([id, traits]) => [id, Object.fromEntries(traits)] as const)
    return { signed: Object.fromEntries(this.#signed), stations: Object.fromEntries(stations) }
  }

  /** The administrator has vouched for it. */
  sign(peer: PeerStatement): void {
    for (const trait of traitsOf(peer)) bounded(this.#signed, trait, subjectOf(peer), signedLimit)
  }

  /** The administrator has taken it back: its name and address may be another's; itself and its tunnel key are still no station's. */
  withdraw(subject: string): void {
    for (const [trait, of] of this.#signed) if (of === subject && !trait.startsWith('key:')) this.#signed.delete(trait)
    bounded(this.#signed, subject, subject, signedLimit)
  }

  /** A station's statement counts. `station`: the id of its delegation. */
  vouch(station: string, peer: PeerStatement): void {
    const own = this.#stations.get(station) ?? new Map<string, number>()
    this.#stations.set(station, own)
    for (const trait of traitsOf(peer)) bounded(own, trait, peer.version, stationLimit)
  }

  /** Why a station's statement does not count: somebody else has vouched for what it speaks of. Undefined: nobody has. */
  against(station: string, peer: PeerStatement): string | undefined {
    for (const trait of traitsOf(peer)) {
      if (this.#signed.has(trait)) return `the administrator has spoken of ${trait}, which is no station's any more`
      for (const [id, traits] of this.#stations) {
        const version = traits.get(trait)
        if (version === undefined) continue
        if (id !== station) return `another station has vouched for ${trait}`
        if (version > peer.version)
          return `it is older than one of ${trait} that was seen before (${peer.version} after ${version})`
      }
    }
    return undefined
  }
}

/** What no two peers share: `peer:0123…`, `name:pump-7`, `key:0123…`, `address:100.64.0.7`. */
export const traitsOf = (peer: PeerStatement): string[] => [
  subjectOf(peer),
  `name:${peer.role}/${peer.name}`,
  ...(peer.tunnelKey === undefined ? [] : [`key:${toHex(peer.tunnelKey)}`]),
  ...peer.addresses.map((address) => `address:${address}`),
]

/** The newest `limit` entries. */
function bounded<Value>(map: Map<string, Value>, trait: string, value: Value, limit: number): void {
  map.delete(trait)
  map.set(trait, value)
  if (map.size > limit) map.delete(map.keys().next().value as string)
}
