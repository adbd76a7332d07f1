import { join } from 'node:path'
import { Policy } from '#broker/policy/policy.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { makePrivateDirectory } from '#shared/platform/files.ts'
import type { Log } from '#shared/platform/log.ts'
import { type Database, openDatabase } from '#shared/platform/sqlite.ts'
import { queryBuilder } from '#shared/platform/sqlite-dialect.ts'
import type { Clock } from '#shared/time/instant.ts'
import { AddressPlan, randomPrefix } from './address-plan.ts'
import { AuditLog } from './audit-log.ts'
import { CertificateStore } from './certificates.ts'
import { ClaimStore } from './claims.ts'
import { DataUseStore } from './data-use.ts'
import { DiagnosisStore } from './diagnoses.ts'
import { Directory } from './directory.ts'
import type { Fleet } from './fleet.ts'
import { GrantStore } from './grants.ts'
import { HostKeyStore } from './host-keys.ts'
import { IpsecPeerStore } from './ipsec-peers.ts'
import { migrate } from './migrations.ts'
import { NegotiationStore } from './negotiations.ts'
import { PeerSecrets } from './peer-secrets.ts'
import { PresenceStore } from './presence.ts'
import type { Principal } from './principal.ts'
import { loadPrincipals } from './principal-rows.ts'
import { PrincipalStore } from './principals.ts'
import { Retention, type RetentionRule } from './retention.ts'
import type { Tables } from './schema.ts'
import { SettingStore } from './settings.ts'
import { StatementStore } from './statements.ts'
import type { StoreContext } from './store-context.ts'
import { TelemetryStore } from './telemetry.ts'

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
  /** Of the administrator's key, or the key itself. */
  | { readonly kind: 'statements' }

type Listener = (change: RegistryChange) => void

/** DATA/adit.db behind its stores. Its opener must hold the data folder's lock (shared/platform/lock.ts). */
export class Registry {
  readonly fleet: Fleet
  readonly directory: Directory
  readonly claims: ClaimStore
  readonly certificates: CertificateStore
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
  readonly settings: SettingStore
  readonly statements: StatementStore
  readonly #database: Database
  readonly #listeners: Set<Listener>

  private constructor(database: Database, context: StoreContext, listeners: Set<Listener>, loaded: LoadedStores) {
    this.fleet = context.addresses.fleet
    this.directory = context.directory
    this.claims = new ClaimStore(context)
    this.certificates = loaded.certificates
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
    this.settings = new SettingStore(context)
    this.statements = loaded.statements
    this.#database = database
    this.#listeners = listeners
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
      return new Registry(database, context, listeners, {
        policy,
        certificates: await CertificateStore.load(context),
        grants: await GrantStore.load(context, policy),
        telemetry: await TelemetryStore.load(context),
        statements: await StatementStore.load(context),
        dataUse: await DataUseStore.load(context),
      })
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

  /** Removes readings by the rule from now on, in small steps. */
  retain(rule: RetentionRule): Retention {
    return new Retention(this.telemetry, rule)
  }

  /** Waits for what was handed in, then closes the file. */
  async close(): Promise<void> {
    await this.dataUse.flush().catch(() => undefined)
    await Promise.all([this.telemetry.drained(), this.audit.drained(), this.presence.drained(), this.negotiations.drained()])
    await this.#database.close()
  }
}

interface LoadedStores {
  policy: Policy
  certificates: CertificateStore
  grants: GrantStore
  telemetry: TelemetryStore
  statements: StatementStore
  dataUse: DataUseStore
}

/** The fleet's ULA /48: drawn once, then for ever. */
async function fleetPrefix(settings: SettingStore, suite: Suite): Promise<string> {
  const known = await settings.get('fleet.prefix')
  if (known !== undefined) return known
  const drawn = randomPrefix((length) => suite.random(length))
  await settings.set('fleet.prefix', drawn)
  return drawn
}
