import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { WriteTransaction } from '#broker/registry/store-context.ts'
import { type LedgerCertificate, LedgerCertificates, type LedgerCertificatesParts } from '#broker/stations/ledger-certificates.ts'
import type { Station } from '#broker/stations/station.ts'
import {
  decodeEntry,
  firstHead,
  isSealOf,
  type LedgerEntry,
  type LedgerHead,
  nextHead,
} from '#shared/enrolment/station-ledger.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { Mutex } from '#shared/platform/mutex.ts'
import { type Clock, elapsed, seconds } from '#shared/time/instant.ts'

/** Some entries of a station's ledger, those behind the ones that are known, sealed at the last of them. */
export interface LedgerPiece {
  /** Number of the entry before the first of these. */
  readonly from: number
  readonly entries: readonly Uint8Array[]
  readonly seal: Uint8Array
}

interface Parts extends LedgerCertificatesParts {
  readonly registry: Registry
  readonly clock: Clock
}

/** New certificates of one group at most: the hook answers as many questions at once. */
const groupCertificates = 8
/** After so long no further group is begun: the station hears how far it came, and sends what is behind that anew. */
const patience = seconds(4)

interface Step {
  readonly entry: LedgerEntry
  readonly head: LedgerHead
}

/**
 * Takes a station's ledger into the registry, piece by piece and in its order. The head that is known moves in the very transaction
 * that takes the entries, so a piece that comes twice, or half, changes nothing twice; a ledger that does not continue what is known
 * is another one, and is named as that.
 */
export class LedgerIntake {
  readonly #parts: Parts
  readonly #certificates: LedgerCertificates
  /** One piece of a station's ledger at a time. */
  readonly #turns = new Map<number, Mutex>()

  constructor(parts: Parts) {
    this.#parts = parts
    this.#certificates = new LedgerCertificates(parts)
  }

  /** How far the station's ledger is known. Throws AditError `ledger-forked` where the station has fewer entries than it once had. */
  async head(station: Station, principal: Principal, own: number): Promise<LedgerHead> {
    const { number, hash } = await this.#headOf(station, principal)
    if (own < number) {
      await this.#tellFork(station, `it has ${own} entries, and had ${number}`)
      throw forked(station, `it has ${own} entries, and once had ${number}`)
    }
    return { number, hash }
  }

  /**
   * The head behind the piece, or behind what of it could be taken in time. Throws AditError `ledger-forked`, `ledger-damaged`,
   * `request-refused` or `hook-failed`; nothing is taken then. `address`: where the station asks from.
   */
  async take(station: Station, principal: Principal, piece: LedgerPiece, address: string): Promise<LedgerHead> {
    const release = await this.#turnOf(station).enter()
    try {
      const present = this.#parts.registry.stations.get(station.station)
      const head = await this.#headOf(present, principal)
      if (piece.from !== head.number) return head
      const steps = this.#follow(head, piece.entries)
      const last = steps.at(-1)
      if (last === undefined) return head
      if (!isSealOf(last.head, piece.seal, await this.#identityPoint(principal), this.#parts.suite)) {
        await this.#tellFork(station, `entry ${last.head.number} does not follow what is known`)
        throw forked(station, `its entries from ${piece.from + 1} on do not follow those that are known here`)
      }
      return await this.#takeGroups(present, head, steps, address)
    } finally {
      release()
    }
  }

  async #takeGroups(station: Station, before: LedgerHead, steps: readonly Step[], address: string): Promise<LedgerHead> {
    const { clock } = this.#parts
    const begun = clock.now()
    let head = before
    for (const group of groupsOf(steps)) {
      if (head !== before && elapsed(begun, clock.now()) > patience) return head
      try {
        await this.#takeGroup(station, group, address)
      } catch (error) {
        // What was taken is known; the station asks again for what is behind it, and hears of the hook then.
        if (head !== before && isAditError(error) && error.code === 'hook-failed') return head
        throw error
      }
      head = group.at(-1)?.head ?? head
    }
    return head
  }

  #turnOf({ id }: Station): Mutex {
    const turn = this.#turns.get(id) ?? new Mutex()
    this.#turns.set(id, turn)
    return turn
  }

  #follow(head: LedgerHead, entries: readonly Uint8Array[]): Step[] {
    let at = head
    return entries.map((bytes) => {
      at = nextHead(at, bytes, this.#parts.suite)
      return { entry: decodeEntry(bytes), head: at }
    })
  }

  async #takeGroup(station: Station, group: readonly Step[], address: string): Promise<void> {
    const { registry } = this.#parts
    // Before the transaction: others do not wait for the hook.
    const entries = group.map(({ entry }) => entry)
    const certificates = await this.#certificates.of(station, entries, address)
    const scrapped = group[0]?.entry
    // Before its entry counts as known: a power cut between the two repeats it, which changes nothing.
    if (scrapped?.kind === 'scrapped')
      for (const device of await registry.stationUnits.devicesOf(station, scrapped.unit))
        await registry.devices.revoke(device.name, `station:${station.station}`)
    await registry.stationUnits.intake(async (transaction, heard) => {
      for (const entry of entries) await this.#takeEntry(transaction, station, entry, { certificates, heard })
      const last = group.at(-1)
      if (last) heard.push(await registry.stations.advance(transaction, station.id, last.head))
    })
  }

  async #takeEntry(
    transaction: WriteTransaction,
    station: Station,
    entry: LedgerEntry,
    { certificates, heard }: { certificates: ReadonlyMap<LedgerEntry, LedgerCertificate>; heard: (() => void)[] },
  ): Promise<void> {
    const { stationUnits } = this.#parts.registry
    if (entry.kind === 'delivered') return stationUnits.mark(transaction, station, entry.unit, 'delivered')
    if (entry.kind === 'scrapped') return stationUnits.mark(transaction, station, entry.unit, 'scrapped', entry.reason)
    const judged = certificates.get(entry)
    if (entry.kind !== 'issued' || judged === undefined) return
    const { unit, instead } = entry
    const { leaf, issuerHex, fault, word } = judged
    const offered = { leaf, issuerHex, unit, ...(instead !== undefined && { instead }), ...(word && { word }) }
    if (fault !== undefined) return stationUnits.refuse(transaction, station, offered, fault)
    heard.push(stationUnits.telling(await stationUnits.take(transaction, station, offered)))
  }

  async #headOf(station: Station, principal: Principal): Promise<LedgerHead> {
    if (station.headHash) return { number: station.headNumber, hash: station.headHash }
    return firstHead((await this.#identity(principal)).spki, this.#parts.suite)
  }

  async #identityPoint(principal: Principal): Promise<Uint8Array> {
    const { publicKey } = await this.#identity(principal)
    if (publicKey.kind === 'p256') return publicKey.point
    throw new AditError('request-refused', 'The identity key of a station is of P-256.', askAdministrator)
  }

  /** The certificate by which the station enrolled: its ledger is sealed by that key, whatever it renews to. */
  async #identity({ id, name }: Principal): Promise<Certificate> {
    const [first] = await this.#parts.registry.certificates.list(id)
    if (first) return parseCertificate(first.der)
    throw new AditError('request-refused', `Station ${name} has no certificate here.`, askAdministrator)
  }

  /** A ledger that was restored, or a copy of the station: whoever answers for the line must hear of it. */
  async #tellFork({ station }: Station, what: string): Promise<void> {
    const entry = { actor: `station:${station}`, action: 'station.forked', subject: `station:${station}`, detail: { what } }
    await this.#parts.registry.audit.append(entry)
  }
}

/** A scrapped unit begins a group, since its device is revoked before; and so many certificates end one. */
function* groupsOf(steps: readonly Step[]): Iterable<readonly Step[]> {
  let group: Step[] = []
  let issued = 0
  for (const step of steps) {
    const { kind } = step.entry
    if ((kind === 'scrapped' || (kind === 'issued' && issued === groupCertificates)) && group.length > 0) {
      yield group
      group = []
      issued = 0
    }
    if (kind === 'issued') issued++
    group.push(step)
  }
  if (group.length > 0) yield group
}

const askAdministrator = 'Ask the administrator of the broker.'

const forked = ({ station }: Station, what: string): AditError =>
  new AditError(
    'ledger-forked',
    `The ledger of station ${station} is not the one that the broker knows: ${what}.`,
    `Bring back the newest copy of its folder; where that is lost: adit-broker station revoke ${station}, and authorise another.`,
  )
