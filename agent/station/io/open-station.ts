import type { IdentityPorts } from '#agent/io/identity.ts'
import { type LedgerProof, proveLedger } from '#agent/station/core/ledger-proof.ts'
import { LedgerStore } from '#agent/station/io/ledger-store.ts'
import { type SyncResult, syncLedger } from '#agent/station/io/ledger-sync.ts'
import { isRenewalDue, lendAnswers, noteDelegation, renewDelegation } from '#agent/station/io/renew-delegation.ts'
import { type BrokerView, StationBroker } from '#agent/station/io/station-broker.ts'
import { StationDesk } from '#agent/station/io/station-desk.ts'
import { openStationFolder, type StationParts, stationKey } from '#agent/station/io/station-folder.ts'
import { keepStanding } from '#agent/station/io/station-standing.ts'
import { type Vouched, vouchForDevices } from '#agent/station/io/vouch.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { isAditError, toAditError } from '#shared/errors.ts'
import { keyFingerprint } from '#shared/fleet/key-fingerprint.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { p256Spki } from '#shared/pki/public-key.ts'

export interface OpenOptions extends IdentityPorts {
  readonly path: string
  /** `auto` looks whether the broker answers. */
  readonly mode?: 'auto' | 'online' | 'offline'
  /** Where the broker was found, or not; and when that changes. */
  onMode?(mode: 'online' | 'offline', why: string): void
}

/** Patience with a broker that may not be there: a line does not wait for it. */
const lookMs = 3_000

/** An open station: its counter, and what is done with its ledger as a whole. */
export class OpenStation {
  readonly desk: StationDesk
  readonly parts: StationParts
  readonly ledger: LedgerStore
  readonly broker: StationBroker
  readonly #ports: IdentityPorts
  #fleetKey = false

  private constructor(parts: StationParts, ledger: LedgerStore, broker: StationBroker, options: OpenOptions) {
    this.parts = parts
    this.ledger = ledger
    this.broker = broker
    this.#ports = options
    const { suite, clock, mode, onMode } = options
    const ports = { suite, clock, broker: mode === 'offline' ? undefined : broker, ...(onMode && { onMode }) }
    this.desk = new StationDesk(parts, ledger, ports)
  }

  static async open(options: OpenOptions): Promise<OpenStation> {
    const parts = await openStationFolder(options.path, options)
    try {
      const { suite, clock, mode = 'auto' } = options
      const ledger = await LedgerStore.open(parts.ledgerPath, { suite, clock, identity: parts.identity.keys.identity })
      const broker = new StationBroker(() => parts.identity.https(), parts.identity.record.api)
      const station = new OpenStation(parts, ledger, broker, options)
      if (mode === 'offline') options.onMode?.('offline', 'as asked')
      if (mode === 'auto') await station.look()
      return station
    } catch (error) {
      parts.identity.close()
      throw error
    }
  }

  /** Whether the broker answers; the counter works accordingly from now on. A broker that refuses us is not passed by. */
  async look(): Promise<boolean> {
    try {
      await this.#renewInTime()
      const view = await this.broker.view(this.ledger.head.number, lookMs)
      await this.#followDelegation(view)
      this.desk.setMode(true, 'the broker answers')
      return true
    } catch (error) {
      if (!isAditError(error) || error.code !== 'broker-unreachable') throw error
      this.desk.setMode(false, error.message)
      return false
    }
  }

  /** `vouched`: where the fleet has a key, for which devices the station has vouched now. */
  async sync(onProgress?: (done: number, all: number) => void): Promise<SyncResult & { vouched?: Vouched }> {
    await this.#renewInTime()
    // First: what was issued below a CA that has retired since is good again below the next.
    const view = await this.broker.view(this.ledger.head.number)
    await this.#followDelegation(view)
    const { suite } = this.#ports
    const result = await syncLedger(this.ledger, this.broker, { identity: this.parts.identity.keys.identity, suite }, onProgress)
    return view.fleetKey ? { ...result, vouched: await this.vouch() } : result
  }

  /**
   * Where the fleet has a key and the broker answered last: vouches for what waits, for what was just made online too. Undefined where there
   * is nothing to say; what cannot be said now waits for the next sync.
   */
  async vouchIfAsked(): Promise<Vouched | undefined> {
    if (!this.#fleetKey || !this.desk.online) return undefined
    try {
      const vouched = await this.vouch()
      return vouched.signed + vouched.refused.length === 0 ? undefined : vouched
    } catch (error) {
      const { code, message } = toAditError(error)
      this.#ports.log.warn({ code, message }, 'this station could not vouch for its devices')
      return undefined
    }
  }

  /** Vouches for the devices of this station that wait for it. Throws AditError. */
  async vouch(): Promise<Vouched> {
    const { parts, ledger, broker } = this
    const { suite, clock } = this.#ports
    const pair = await stationKey(parts.folder, 'statement.key', this.#ports)
    const fleet = fleetIdOf(parseCertificate(parts.identity.roots[0]!), suite)
    return vouchForDevices(ledger, broker, { suite, clock, folder: parts.folder.path, pair, fleet })
  }

  /** The certificate of the station's own CA anew, from the broker; true where it is another one. Throws AditError. */
  async renewDelegation(): Promise<boolean> {
    await this.#renewInTime()
    return renewDelegation(this.parts, this.ledger, this.broker, this.#ports.suite)
  }

  /** What the broker says that it would give us, at once; where it does not, all goes on as it was. */
  async #followDelegation(view: BrokerView): Promise<void> {
    const { suite, log } = this.#ports
    this.#fleetKey = view.fleetKey ?? false
    const isDue = isRenewalDue(this.parts, view)
    if (!isDue) await noteDelegation(this.parts.own, this.ledger)
    try {
      if (isDue) await renewDelegation(this.parts, this.ledger, this.broker, suite)
      if (view.fleetKey) await this.#tellKey(view)
      if (view.answers === false || (view.answers && isDue)) await lendAnswers(this.parts, this.broker, suite)
    } catch (error) {
      const { code, message } = toAditError(error)
      log.warn({ code, message }, 'the delegation of this station could not be renewed')
    }
  }

  /** Fingerprint of the key by which the station vouches, for whoever signs its delegation. */
  async statementKey(): Promise<string> {
    return keyFingerprint((await stationKey(this.parts.folder, 'statement.key', this.#ports)).publicKey, this.#ports.suite)
  }

  /** A station that was made before the fleet had a key, or under a program that knew of none. */
  async #tellKey({ statementKey }: BrokerView): Promise<void> {
    const { publicKey } = await stationKey(this.parts.folder, 'statement.key', this.#ports)
    if (statementKey !== toHex(publicKey)) await this.broker.tellKey(publicKey)
  }

  /** The station's own certificate, once a third of its life is left, or none. */
  #renewInTime(): Promise<void> {
    const { identity } = this.parts
    const { notBefore, notAfter } = identity.leaf
    return keepStanding(identity, this.#ports.clock.wall() > notAfter - (notAfter - notBefore) / 3)
  }

  /** Throws AditError `ledger-damaged`. */
  async verify(): Promise<LedgerProof> {
    const { identity, issuers } = this.parts
    const { publicKey } = identity.keys.identity
    const entries = await this.ledger.entries(0, Number.MAX_SAFE_INTEGER)
    const stored = { entries, seals: await this.ledger.seals(), secrets: await this.ledger.secretUnits() }
    return proveLedger(stored, {
      spki: p256Spki(publicKey),
      publicKey,
      roots: identity.roots.map((der) => parseCertificate(der)),
      issuers: issuers.certificates,
      suite: this.#ports.suite,
    })
  }

  async close(): Promise<void> {
    await this.ledger.close()
    this.parts.identity.close()
  }
}
