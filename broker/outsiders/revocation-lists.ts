import type { OutsiderCa } from '#broker/identity/authority.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { CRL_ENTRY_LIMIT, INDIRECT_ENTRY_LIMIT, type RevokedEntry, writeCrl } from '#shared/pki/crl-writer.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import type { RevocationReason } from '#shared/pki/revocation-reason.ts'
import { type Clock, hours, type WallTime, wallTime } from '#shared/time/instant.ts'
import { delegatesOf, revokedDelegates } from './revoked-delegates.ts'

interface ListParts {
  registry: Pick<Registry, 'certificates' | 'settings' | 'stations'>
  suite: Suite
  clock: Clock
}

export interface SignedList {
  readonly der: Uint8Array
  readonly thisUpdate: WallTime
  readonly nextUpdate: WallTime
}

/** What a list says. */
interface Content {
  readonly entries: readonly RevokedEntry[]
  readonly indirect?: boolean
}

interface KeptList extends SignedList {
  /** Of the registry's revocations, when the list was made. */
  readonly revision: number
}

/** A list is for a day, and made anew when half of that is over. */
const life = hours(24)
const numberKey = 'pki.crl-number'

/**
 * The lists of revoked certificates of the fleet's CAs: signed once and kept, made anew when something was revoked (the next question
 * finds it) or half of a list's life is over. Numbers follow the clock, so that also a restored broker goes on above those that it gave.
 */
export class RevocationLists {
  readonly #parts: ListParts
  readonly #kept = new Map<string, KeptList>()
  readonly #making = new Map<string, Promise<KeptList>>()
  #last = 0

  constructor(parts: ListParts) {
    this.#parts = parts
  }

  /** What the CA itself has signed. */
  of({ ca }: OutsiderCa): Promise<SignedList> {
    return this.#list(this.#nameOf(ca), ca, () => this.#own(ca))
  }

  /**
   * The same, and what the CAs of stations below it have signed, in one indirect list (RFC 5280 §5.2.5). With what it has signed itself: a reader
   * that has both lists may take either for its own certificates.
   */
  ofStations({ ca }: OutsiderCa): Promise<SignedList> {
    return this.#list(`${this.#nameOf(ca)} stations`, ca, () => this.#stations(ca))
  }

  async #list(name: string, ca: Ca, content: () => Promise<Content>): Promise<SignedList> {
    const { registry, clock } = this.#parts
    const kept = this.#kept.get(name)
    const isFresh = kept !== undefined && kept.nextUpdate - clock.wall() > life / 2 && kept.thisUpdate <= clock.wall()
    if (isFresh && kept.revision === registry.certificates.revision) return kept
    // Ten thousand who ask at once cost one signature.
    const making = this.#making.get(name) ?? this.#make(name, ca, content).finally(() => this.#making.delete(name))
    this.#making.set(name, making)
    const made = await making
    return made.revision === registry.certificates.revision ? made : this.#list(name, ca, content)
  }

  async #make(name: string, ca: Ca, content: () => Promise<Content>): Promise<KeptList> {
    const { registry, clock, suite } = this.#parts
    const { revision } = registry.certificates
    const said = await content()
    const thisUpdate = clock.wall()
    const nextUpdate = wallTime(thisUpdate + life)
    const number = await this.#nextNumber()
    const der = writeCrl({ issuer: ca.certificate, number, thisUpdate, nextUpdate, ...said }, ca.pair, suite)
    const list = { der, thisUpdate, nextUpdate, revision }
    this.#kept.set(name, list)
    return list
  }

  /** Who is expired is refused for that; the newest revocations are the ones that count where there are too many. */
  async #own(ca: Ca): Promise<Content> {
    const { registry, clock } = this.#parts
    const delegates = revokedDelegates(registry.stations, ca.certificate, clock.wall())
    const limit = CRL_ENTRY_LIMIT - delegates.length
    const leaves = await registry.certificates.revokedOf(this.#nameOf(ca), clock.wall(), limit)
    return { entries: [...delegates, ...leaves].map(entryOf) }
  }

  async #stations(ca: Ca): Promise<Content> {
    const { registry, clock } = this.#parts
    const { entries: own } = await this.#own(ca)
    const entries: RevokedEntry[] = own.slice(0, INDIRECT_ENTRY_LIMIT).map((one) => ({ ...one, issuer: ca.certificate.subject }))
    for (const { issuerHex, subject } of delegatesOf(registry.stations, ca.certificate)) {
      const limit = INDIRECT_ENTRY_LIMIT - entries.length
      const units = await registry.certificates.revokedOf(issuerHex, clock.wall(), limit)
      entries.push(...units.map((unit) => ({ ...entryOf(unit), issuer: subject })))
    }
    return { entries, indirect: true }
  }

  #nameOf({ certificate }: Ca): string {
    return toHex(this.#parts.suite.hash('sha256', certificate.spki))
  }

  async #nextNumber(): Promise<number> {
    const { settings } = this.#parts.registry
    const before = Math.max(this.#last, Number((await settings.get(numberKey)) ?? 0))
    this.#last = Math.max(before + 1, this.#last + 1, Math.floor(this.#parts.clock.wall()))
    const number = this.#last
    await settings.set(numberKey, String(number))
    return number
  }
}

const entryOf = ({ serialHex, at, reason }: { serialHex: string; at: number; reason?: RevocationReason }): RevokedEntry => ({
  serial: fromHex(serialHex),
  revokedAt: wallTime(at),
  reason,
})
