import { join } from 'node:path'
import { IncarnationDesk } from '#broker/backup/incarnation.ts'
import { Policy } from '#broker/policy/policy.ts'
import { StationStore } from '#broker/stations/station-store.ts'
import { UnitRegister } from '#broker/stations/unit-register.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { makePrivateDirectory } from '#shared/platform/files.ts'
import type { Log } from '#shared/platform/log.ts'
import { type Database, openDatabase } from '#shared/platform/sqlite.ts'
import { queryBuilder } from '#shared/platform/sqlite-dialect.ts'
import type { Clock } from '#shared/time/instant.ts'
import { AddressPlan, randomPrefix } from './address-plan.ts'
import { AuditLog } from './audit-log.ts'
import { CaCensus } from './ca-census.ts'
import { CertificateStore } from './certificates.ts'
import { ClaimStore } from './claims.ts'
import { CloneStore } from './clones.ts'
import { DataUseStore } from './data-use.ts'
import { DiagnosisStore } from './diagnoses.ts'
import { Directory } from './directory.ts'
import { EnrolmentStore } from './enrolments.ts'
import { FactoryStore } from './factories.ts'
import type { Fleet } from './fleet.ts'
import { GrantStore } from './grants.ts'
import { HostKeyStore } from './host-keys.ts'
import { IpsecPeerStore } from './ipsec-peers.ts'
import { migrate } from './migrations/migrate.ts'
import { NegotiationStore } from './negotiations.ts'
import { OrderStore } from './orders.ts'
import { PeerSecrets } from './peer-secrets.ts'
import { PresenceStore } from './presence.ts'
import type { Principal } from './principal.ts'
import { loadPrincipals } from './principal-rows.ts'
import { PrincipalStore } from './principals.ts'
import { RenewalLane } from './renewal-lane.ts'
import { Retention, type RetentionRule } from './retention.ts'
import { Retirement } from './retirement.ts'
import { RightUses } from './right-uses.ts'
import type { Tables } from './schema.ts'
import { SettingStore } from './settings.ts'
import { StatementStore } from './statements.ts'
import type { StoreContext } from './store-context.ts'
import { TelemetryStore } from './telemetry.ts'
import { VoucherStore } from './vouchers.ts'

export interface RegistryPorts {
  clock: Clock
  suite: Suite
  log: Log
}

export interface RegistryOptions {
  /** Networks that this machine is on, "10.0.0.0/8": no inner IPv4 address is taken from them. */
  underlay?: readonly string[]
  /** Largest size in pages of 4096 bytes, for tests of a full disk. */
  maxPages?: number
  /** Pages in the write-ahead log after which a commit moves them into the file; 4000 unless said otherwise. */
  checkpointPages?: number
}

/** What has changed, told after the commit and after the directory knows it. */
export type RegistryChange =
  | { readonly kind: 'added' | 'changed' | 'revoked'; readonly principal: Principal }
  | { readonly kind: 'grants' }
  /** Nothing has; whoever has this principal's tunnel is to ask how it stands. */
  | { readonly kind: 'ask'; readonly asked: Principal }
  /** Of the administrator's key, or the key itself. */
  | { readonly kind: 'statements' }
  /** Which stations may issue. */
  | { readonly kind: 'stations' }

type Listener = (change: RegistryChange) => void

/** DATA/adit.db behind its stores. Its opener must hold the data folder's lock (shared/platform/lock.ts). */
export class Registry {
  readonly fleet: Fleet
  readonly directory: Directory
  readonly claims: ClaimStore
  /** Which keys have enrolled by which right. */
  readonly rights: RightUses
  /** Requests that wait for a person. */
  readonly enrolments: EnrolmentStore
  readonly certificates: CertificateStore
  /** Who holds what of the authorities. */
  readonly authorities: CaCensus
  readonly devices: PrincipalStore
  readonly operators: PrincipalStore
  readonly ipsecPeers: IpsecPeerStore
  /** Pre-shared keys of IPsec peers, in memory. */
  readonly peerSecrets: PeerSecrets
  readonly negotiations: NegotiationStore
  readonly grants: GrantStore
  readonly policy: Policy
  readonly audit: AuditLog
  readonly telemetry: TelemetryStore
  readonly hostKeys: HostKeyStore
  readonly presence: PresenceStore
  readonly diagnoses: DiagnosisStore
  readonly dataUse: DataUseStore
  /** What each device shares with the broker against copies of it, and the copies that were found. */
  readonly clones: CloneStore
  /** Expired certificates that may renew. */
  readonly lane: RenewalLane
  readonly settings: SettingStore
  readonly statements: StatementStore
  /** Makers of boards that are believed. */
  readonly factories: FactoryStore
  readonly vouchers: VoucherStore
  readonly orders: OrderStore
  readonly retirement: Retirement
  /** Which life of this data folder it is. */
  incarnation!: IncarnationDesk
  readonly stations: StationStore
  /** What the stations have issued. */
  readonly stationUnits: UnitRegister
  readonly #database: Database
  readonly #listeners: Set<Listener>

  private constructor(database: Database, context: StoreContext, listeners: Set<Listener>, loaded: LoadedStores) {
    this.fleet = context.addresses.fleet
    this.directory = context.directory
    this.rights = new RightUses(context)
    this.claims = new ClaimStore(context, this.rights)
    this.enrolments = new EnrolmentStore(context)
    this.certificates = loaded.certificates
    this.authorities = new CaCensus(context)
    this.devices = new PrincipalStore(context, 'device', loaded.grants)
    this.operators = new PrincipalStore(context, 'operator', loaded.grants)
    this.ipsecPeers = new IpsecPeerStore(context)
    this.peerSecrets = context.secrets
    this.negotiations = new NegotiationStore(context)
    this.grants = loaded.grants
    this.policy = loaded.policy
    this.audit = new AuditLog(context)
    this.telemetry = loaded.telemetry
    this.hostKeys = new HostKeyStore(context)
    this.presence = new PresenceStore(context)
    this.diagnoses = new DiagnosisStore(context)
    this.dataUse = loaded.dataUse
    this.clones = loaded.clones
    this.lane = loaded.lane
    this.settings = new SettingStore(context)
    this.statements = loaded.statements
    this.orders = loaded.orders
    this.retirement = new Retirement(context, this)
    this.factories = loaded.factories
    this.vouchers = new VoucherStore(context)
    this.stations = loaded.stations
    this.stationUnits = new UnitRegister(context)
    this.#database = database
    this.#listeners = listeners
    listeners.add(({ kind }) => {
      if (kind === 'revoked' || kind === 'stations') loaded.certificates.revokedWithPrincipal()
    })
  }

  /** Makes the folder, the file, the schema and the fleet's prefix where they are missing. */
  static async open(dataDir: string, ports: RegistryPorts, options: RegistryOptions = {}): Promise<Registry> {
    await makePrivateDirectory(dataDir)
    const database = await openDatabase(join(dataDir, 'adit.db'), {
      checkpointPages: options.checkpointPages ?? 4_000,
      ...(options.maxPages === undefined ? {} : { maxPages: options.maxPages }),
    })
    try {
      const db = queryBuilder<Tables>(database)
      await migrate(db)
      const addresses = new AddressPlan(await fleetPrefix(new SettingStore({ db }), ports.suite), options.underlay ?? [])
      const directory = new Directory()
      for (const principal of await loadPrincipals(db)) directory.put(principal)
      const listeners: Set<Listener> = new Set()
      const changed = (change: RegistryChange): void => {
        if ('principal' in change) directory.put(change.principal)
        for (const listener of listeners) listener(change)
      }
      const context: StoreContext = { ...ports, db, directory, addresses, secrets: await PeerSecrets.load({ db }), changed }
      const policy = new Policy()
      const registry = new Registry(database, context, listeners, {
        policy,
        certificates: await CertificateStore.load(context),
        grants: await GrantStore.load(context, policy),
        telemetry: await TelemetryStore.load(context),
        statements: await StatementStore.load(context),
        orders: await OrderStore.load(context),
        stations: await StationStore.load(context),
        dataUse: await DataUseStore.load(context),
        factories: await FactoryStore.load(context),
        clones: await CloneStore.load(context),
        lane: await RenewalLane.load(context),
      })
      registry.incarnation = await IncarnationDesk.open(registry, ports.suite)
      return registry
    } catch (error) {
      await database.close()
      throw error
    }
  }

  /** Returns how to stop listening. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** A copy of the database as it is at this moment, of mode 0600, while everything goes on. `path` must not be there. */
  snapshot(path: string): Promise<void> {
    return this.#database.snapshot(path)
  }

  /** Removes readings by the rule from now on, in small steps. */
  retain(rule: RetentionRule): Retention {
    return new Retention(this.telemetry, rule)
  }

  /** Waits for what was handed in, then closes the file. */
  async close(): Promise<void> {
    await this.dataUse.flush().catch(() => undefined)
    const batched = [this.rights, this.telemetry, this.audit, this.presence, this.negotiations]
    await Promise.all(batched.map((store) => store.drained()))
    await this.#database.close()
  }
}

interface LoadedStores {
  factories: FactoryStore
  orders: OrderStore
  policy: Policy
  certificates: CertificateStore
  grants: GrantStore
  telemetry: TelemetryStore
  statements: StatementStore
  stations: StationStore
  dataUse: DataUseStore
  clones: CloneStore
  lane: RenewalLane
}

/** The fleet's ULA /48: drawn once, then for ever. */
async function fleetPrefix(settings: SettingStore, suite: Suite): Promise<string> {
  const known = await settings.get('fleet.prefix')
  if (known !== undefined) return known
  const drawn = randomPrefix((length) => suite.random(length))
  await settings.set('fleet.prefix', drawn)
  return drawn
}
