import { checkReplacement, openingOf, type Wish } from '#agent/station/core/opening.ts'
import {
  certifyUnit,
  identityPem,
  makeUnitKeys,
  packUnitKeys,
  spkiOf,
  type UnitKeys,
  unpackUnitKeys,
} from '#agent/station/core/unit-identity.ts'
import {
  deliveredBefore,
  eventOf,
  neverOpened,
  quotaExhausted,
  recordOf,
  scrappedBefore,
  windowOver,
} from '#agent/station/core/unit-words.ts'
import type { LedgerStore, Sight } from '#agent/station/io/ledger-store.ts'
import type { StationBroker } from '#agent/station/io/station-broker.ts'
import { type StationParts, termsOf } from '#agent/station/io/station-folder.ts'
import type { LineCount, LineEvent, WayKind } from '#agent/station/line-event.ts'
import type { UnitDesk, UnitRecord } from '#agent/station/unit-desk.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { LineAccount, UnitAccount } from '#shared/enrolment/line-account.ts'
import { type LedgerEntry, longestText } from '#shared/enrolment/station-ledger.ts'
import type { UnitBundle } from '#shared/enrolment/unit-bundle.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { createRequest, verifyRequest } from '#shared/pki/request.ts'
import type { Clock } from '#shared/time/instant.ts'

export interface DeskPorts {
  readonly suite: Suite
  readonly clock: Clock
  /** Undefined: this station works by itself, whoever may be reached. */
  readonly broker: StationBroker | undefined
  /** Told once where the broker goes away or comes back. */
  onMode?(mode: 'online' | 'offline', why: string): void
}

/** The station's counter over its ledger: through the broker while it answers, by the station's own CA while it does not. */
export class StationDesk implements UnitDesk {
  readonly station: string
  readonly enrolmentKey: Uint8Array
  readonly ledger: LedgerStore
  readonly parts: StationParts
  readonly #ports: DeskPorts
  readonly #listeners = new Set<(event: LineEvent) => void>()
  #online: boolean
  #planned: number | undefined

  constructor(parts: StationParts, ledger: LedgerStore, ports: DeskPorts) {
    this.parts = parts
    this.ledger = ledger
    this.#ports = ports
    this.#online = ports.broker !== undefined
    this.station = parts.own.delegation.station
    this.enrolmentKey = parts.enrolmentKey.publicKey
  }

  get online(): boolean {
    return this.#online
  }

  /** The broker has been heard, or not. */
  setMode(online: boolean, why: string): void {
    if (this.#ports.broker === undefined || this.#online === online) return
    this.#online = online
    this.#ports.onMode?.(online ? 'online' : 'offline', why)
  }

  /** What is to be delivered from now on: so many units, or those of these that are not delivered yet. */
  async plan(units: number | readonly { readonly serial: string }[]): Promise<void> {
    this.#planned = await this.ledger.change(({ account }) => ({
      result() {
        const isLeft = ({ serial }: { readonly serial: string }): boolean => account.unit(serial)?.state !== 'delivered'
        return account.counts.delivered + (typeof units === 'number' ? units : units.filter(isLeft).length)
      },
    }))
  }

  async open(text: string, way: WayKind, wish: Wish = {}): Promise<UnitRecord> {
    const serial = checkSerial(text)
    const { record, fresh } = await this.ledger.change((sight) => {
      const entry = openingOf(sight.account, serial, way, wish, sight.now)
      const result = () => ({ record: this.#recordOf(sight, serial), fresh: entry !== undefined })
      return { entries: entry ? [entry] : [], result }
    })
    if (fresh) this.#tell('opened', record)
    return record
  }

  async bundle(text: string): Promise<UnitBundle> {
    const serial = checkSerial(text)
    const { suite } = this.#ports
    let byBroker: Uint8Array | undefined
    if (this.online) byBroker = await this.#issueOnline(serial)
    const { keys, unit, fresh } = await this.ledger.change((sight) => {
      const found = onTheLine(sight, serial)
      const kept = sight.secretOf(serial)
      const own = kept ? unpackUnitKeys(kept, suite) : makeUnitKeys(suite)
      const isHeld = kept !== undefined && isOf(found, spkiOf(own))
      const result = () => ({ keys: own, unit: onTheLine(sight, serial), fresh: !isHeld })
      if (isHeld) return { result }
      // Between the two another process may have taken the unit another way.
      const fitting = byBroker && isForKeys(byBroker, own) ? byBroker : undefined
      const entry = fitting
        ? issuedEntry(found, fitting, 'broker', sight.now)
        : this.#issueHere(sight, found, { spki: spkiOf(own), tunnelKey: own.tunnel.publicKey })
      return { entries: [entry], ...(kept === undefined && { keep: { unit: serial, secret: packUnitKeys(own) } }), result }
    })
    if (fresh) this.#tell('issued', recordOf(unit, suite))
    return this.#bundleOf(unit, keys)
  }

  async certify(text: string, request: Uint8Array): Promise<{ chain: string; root: string; name: string }> {
    const serial = checkSerial(text)
    const keys = this.#verified(request)
    await this.#askLeave(serial, keys.spki)
    const { unit, fresh } = await this.ledger.change((sight) => {
      const found = sight.account.unit(serial) ?? absent(serial)
      if (found.state === 'scrapped') throw scrappedBefore(found)
      const isHeld = isOf(found, keys.spki)
      const result = () => ({ unit: sight.account.unit(serial) ?? absent(serial), fresh: !isHeld })
      if (isHeld) return { result }
      if (found.state === 'delivered') throw deliveredBefore(found)
      // Keys that the station made for it before are nobody's now.
      return { entries: [this.#issueHere(sight, found, keys)], forget: serial, result }
    })
    if (fresh) this.#tell('issued', recordOf(unit, this.#ports.suite))
    return { chain: this.#chainOf(unit), root: this.parts.identity.rootPem, name: unit.name }
  }

  step(serial: string, step: 'writing' | 'verifying' | 'labelled', progress?: number): void {
    const unit = this.ledger.peek(serial)
    if (unit === undefined) return
    const event = eventOf(recordOf(unit, this.#ports.suite), this.#ports.clock.wall(), step)
    this.#emit({ ...event, ...(progress !== undefined && { progress }) })
  }

  async delivered(text: string, evidence: string): Promise<UnitRecord> {
    const entry = (unit: string, at: number): LedgerEntry => ({ kind: 'delivered', unit, at, evidence: cut(evidence) })
    return this.#conclude(text, 'delivered', (found, at) => {
      if (found.state === 'scrapped') throw scrappedBefore(found)
      return found.state === 'delivered' ? undefined : entry(found.unit, at)
    })
  }

  async failed(text: string, { code, message, mend }: AditError): Promise<UnitRecord> {
    const cause = { code, message: cut(message), mend: cut(mend) }
    return this.#conclude(text, 'failed', ({ unit, state }, at) =>
      state === 'delivered' || state === 'scrapped' ? undefined : { kind: 'failed', unit, at, ...cause },
    )
  }

  /**
   * For ever: neither its keys nor its certificate are given out again. A second time changes nothing. `by`: serial of the board that
   * comes in its place; one that cannot (core/opening.ts) leaves everything as it was.
   */
  async scrap(text: string, reason: string, by?: string): Promise<UnitRecord> {
    if (reason.trim() === '') throw new AditError('usage', 'A unit is not scrapped without a reason.', 'Add --reason TEXT.')
    return this.#conclude(text, 'scrapped', (found, at, account) => {
      if (by !== undefined) checkReplacement(account, found, by)
      return found.state === 'scrapped' ? undefined : { kind: 'scrapped', unit: found.unit, at, reason: cut(reason) }
    })
  }

  /** For the label that was printed: how often, this time included. */
  async labelled(text: string, of: { certificateSerial: string }): Promise<number> {
    const serial = checkSerial(text)
    return this.ledger.change((sight) => {
      const found = sight.account.unit(serial) ?? absent(serial)
      if (found.certificate?.serialHex !== of.certificateSerial) {
        const message = `The label is of another certificate than ${found.name} has.`
        throw new AditError('label-refused', message, 'Print it again: adit station label')
      }
      return { entries: [{ kind: 'labelled', unit: serial, at: sight.now }], result: () => found.labels + 1 }
    })
  }

  async record(text: string): Promise<UnitRecord | undefined> {
    const serial = checkSerial(text)
    const unit = await this.ledger.change(({ account }) => ({ result: () => account.unit(serial) }))
    return unit && recordOf(unit, this.#ports.suite)
  }

  /** Every unit, in the order of their opening. */
  async records(): Promise<UnitRecord[]> {
    const units = await this.ledger.change(({ account }) => ({ result: () => [...account.units()] }))
    return units.map((unit) => recordOf(unit, this.#ports.suite))
  }

  onEvent(listener: (event: LineEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async count(): Promise<LineCount> {
    const { station, ledger } = this
    const planned = this.#planned
    return ledger.change(({ account }) => ({
      result() {
        const until = account.delegation?.scope.notAfter ?? 0
        const { delivered, failed, scrapped } = account.counts
        const { quotaLeft } = account
        return { station, planned, delivered, failed, scrapped, quotaLeft, until, unsynced: ledger.unsyncedUnits }
      },
    }))
  }

  /** The end of an attempt: `entry` says what the ledger is to have, undefined that it has it. */
  async #conclude(
    text: string,
    step: 'delivered' | 'failed' | 'scrapped',
    entryFor: (unit: UnitAccount, at: number, account: LineAccount) => LedgerEntry | undefined,
  ): Promise<UnitRecord> {
    const serial = checkSerial(text)
    const { record, fresh } = await this.ledger.change((sight) => {
      const entry = entryFor(sight.account.unit(serial) ?? absent(serial), sight.now, sight.account)
      const result = () => ({ record: this.#recordOf(sight, serial), fresh: entry !== undefined })
      if (entry === undefined) return { result }
      return { entries: [entry], ...(step !== 'failed' && { forget: serial }), result }
    })
    if (fresh) this.#tell(step, record)
    return record
  }

  /**
   * The broker's certificate for keys that are on disk before it is asked: whatever becomes of the answer, the same keys are certified
   * again and no others. Undefined where the unit has one already, or the broker is gone: the station then issues for the same keys.
   */
  async #issueOnline(serial: string): Promise<Uint8Array | undefined> {
    const { broker, suite } = this.#ports
    const { keys, unit } = await this.ledger.change((sight) => {
      const found = onTheLine(sight, serial)
      const kept = sight.secretOf(serial)
      const made = kept ?? packUnitKeys(makeUnitKeys(suite))
      const result = () => ({ keys: unpackUnitKeys(made, suite), unit: found })
      return kept ? { result } : { keep: { unit: serial, secret: made }, result }
    })
    if (broker === undefined || isOf(unit, spkiOf(keys))) return undefined
    try {
      const enrolmentKey = await broker.enrolmentKey()
      const tunnel = { pair: keys.tunnel, enrolmentKey }
      const request = createRequest({ name: unit.name, identity: keys.identity, tunnel }, suite)
      const { chain } = await broker.unit({ unit: serial, name: unit.name, request })
      const [leaf, ...issuers] = decodePem('CERTIFICATE', chain)
      // The root that it is under may be another one too, and a bundle has both or neither.
      if (await this.parts.issuers.learn(issuers)) await this.parts.identity.gatherRoots()
      return leaf
    } catch (error) {
      if (!isAditError(error) || error.code !== 'broker-unreachable') throw error
      this.setMode(false, error.message)
      return undefined
    }
  }

  /** While the broker answers nothing is certified that it would not take; else it judges at the sync. Throws what it says against it. */
  async #askLeave(serial: string, spki: Uint8Array): Promise<void> {
    const { broker, suite } = this.#ports
    if (broker === undefined || !this.online) return
    const unit = await this.ledger.change(({ account }) => ({ result: () => account.unit(serial) }))
    if (unit === undefined || unit.state === 'scrapped' || unit.state === 'delivered' || isOf(unit, spki)) return
    try {
      await broker.leave({ unit: serial, name: unit.name, key: toHex(suite.hash('sha256', spki)) })
    } catch (error) {
      if (!isAditError(error) || error.code !== 'broker-unreachable') throw error
      this.setMode(false, error.message)
    }
  }

  #issueHere(sight: Sight, unit: UnitAccount, keys: { spki: Uint8Array; tunnelKey?: Uint8Array }): LedgerEntry {
    const { account, now } = sight
    const delegation = account.delegation?.scope
    if (delegation === undefined) throw new TypeError('a ledger without a delegation')
    if (now >= delegation.notAfter) throw windowOver(delegation)
    if (account.counts.certificates >= delegation.quota) throw quotaExhausted(delegation)
    const der = certifyUnit(this.parts.own.ca, { name: unit.name, ...keys }, delegation, now, this.#ports.suite)
    return issuedEntry(unit, der, 'station', now)
  }

  #bundleOf(unit: UnitAccount, { identity, tunnel }: UnitKeys): UnitBundle {
    return {
      serial: unit.unit,
      name: unit.name,
      identityPem: identityPem(identity),
      tunnelKey: tunnel.privateKey,
      chain: this.#chainOf(unit),
      root: this.parts.identity.rootPem,
      ...termsOf(this.parts),
    }
  }

  /** PEM of the leaf and its issuers, without the root. */
  #chainOf({ certificate }: UnitAccount): string {
    if (certificate === undefined) throw new TypeError('a unit that has no certificate')
    const leaf = encodePem('CERTIFICATE', certificate.der)
    const { own, issuers } = this.parts
    return leaf + (certificate.by === 'station' ? own.chain : issuers.pemAbove(parseCertificate(certificate.der)))
  }

  #verified(request: Uint8Array): { spki: Uint8Array; tunnelKey?: Uint8Array } {
    try {
      const { spki, tunnelKey } = verifyRequest(request, this.parts.enrolmentKey, this.#ports.suite)
      return { spki, ...(tunnelKey && { tunnelKey }) }
    } catch (error) {
      if (!(error instanceof PkiError)) throw error
      throw new AditError('request-refused', `The board's request is refused: ${error.message}.`, 'Let the board make it again.')
    }
  }

  #recordOf({ account }: Sight, serial: string): UnitRecord {
    return recordOf(account.unit(serial) ?? absent(serial), this.#ports.suite)
  }

  #tell(step: LineEvent['step'], record: UnitRecord): void {
    this.#emit(eventOf(record, this.#ports.clock.wall(), step))
  }

  #emit(event: LineEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

const absent = (serial: string): never => {
  throw neverOpened(serial)
}

/** A unit whose identity may be given out. */
function onTheLine({ account }: Sight, serial: string): UnitAccount {
  const unit = account.unit(serial) ?? absent(serial)
  if (unit.state === 'scrapped') throw scrappedBefore(unit)
  if (unit.state === 'delivered') throw deliveredBefore(unit)
  return unit
}

const isOf = ({ certificate }: UnitAccount, spki: Uint8Array): boolean =>
  certificate !== undefined && equalPublic(certificate.spki, spki)

/** Both keys: the station vouches for the tunnel key that is in the certificate of its ledger. */
function isForKeys(certificate: Uint8Array, keys: UnitKeys): boolean {
  const { spki, extensions } = parseCertificate(certificate)
  const { tunnelKey } = extensions
  return equalPublic(spki, spkiOf(keys)) && (tunnelKey === undefined || equalPublic(tunnelKey, keys.tunnel.publicKey))
}

const issuedEntry = (unit: UnitAccount, certificate: Uint8Array, by: 'station' | 'broker', at: number): LedgerEntry => ({
  kind: 'issued',
  unit: unit.unit,
  certificate,
  by,
  at,
  ...(unit.certificate && { instead: unit.certificate.serialHex }),
})

const cut = (text: string): string => text.slice(0, longestText)
