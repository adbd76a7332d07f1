import type { LastWord } from '#broker/enrolment/last-word.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { type UnitWord, wordOn } from '#broker/stations/unit-word.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { type Clock, elapsed, type Instant, seconds } from '#shared/time/instant.ts'

/** For so long the hook is not asked again of a unit that it has denied: such a unit calls again and again. */
const denialHolds = seconds(60)
/** Denials remembered: the oldest is forgotten first. */
const denialLimit = 10_000

export interface FirstContactParts {
  readonly registry: Pick<Registry, 'stations' | 'stationUnits'>
  readonly lastWord: LastWord
  readonly clock: Clock
}

/**
 * A device that calls for the first time under a certificate of a station's CA: it becomes a principal, or stays a stranger, with the reason
 * in the record of conflicts.
 */
export class FirstContact {
  readonly #parts: FirstContactParts
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #denied = new Map<string, { at: Instant; word: UnitWord }>()

  constructor(parts: FirstContactParts) {
    this.#parts = parts
  }

  /** Calls of one unit share one judgement. Throws AditError `hook-failed`. `issuerHex`: SHA-256 of the issuer's SPKI. */
  async take(leaf: Certificate, issuerHex: string, address: string): Promise<void> {
    const key = `${issuerHex} ${leaf.serialHex}`
    const underWay = this.#underWay.get(key) ?? this.#judge(key, leaf, issuerHex, address)
    this.#underWay.set(key, underWay)
    try {
      await underWay
    } finally {
      if (this.#underWay.get(key) === underWay) this.#underWay.delete(key)
    }
  }

  async #judge(key: string, leaf: Certificate, issuerHex: string, address: string): Promise<void> {
    const { stations, stationUnits } = this.#parts.registry
    const station = stations.byIssuer(issuerHex)
    if (station === undefined || station.revokedAt !== undefined) return
    const { claimed, conflict } = await stationUnits.judge(station, { leaf, issuerHex })
    const word = conflict
      ? { conflict }
      : (this.#deniedLately(key) ?? (await wordOn(this.#parts.lastWord, station, claimed, address)))
    if ('conflict' in word && !conflict) this.#remember(key, word)
    await stationUnits.intake(async (transaction, heard) => {
      heard.push(stationUnits.telling(await stationUnits.take(transaction, station, { leaf, issuerHex, word })))
    })
  }

  #deniedLately(key: string): UnitWord | undefined {
    const denial = this.#denied.get(key)
    return denial && elapsed(denial.at, this.#parts.clock.now()) < denialHolds ? denial.word : undefined
  }

  #remember(key: string, word: UnitWord): void {
    if (this.#deniedLately(key)) return
    this.#denied.delete(key)
    this.#denied.set(key, { at: this.#parts.clock.now(), word })
    if (this.#denied.size > denialLimit) this.#denied.delete(this.#denied.keys().next().value!)
  }
}
