import type { Policy } from '#broker/policy/policy.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { AuditLog } from './audit-log.ts'
import type { CertificateStore } from './certificates.ts'
import type { ClaimStore } from './claims.ts'
import type { Directory } from './directory.ts'
import type { Fleet } from './fleet.ts'
import type { GrantStore } from './grants.ts'
import type { HostKeyStore } from './host-keys.ts'
import type { PresenceStore } from './presence.ts'
import type { Principal } from './principal.ts'
import type { PrincipalStore } from './principals.ts'
import type { SettingStore } from './settings.ts'
import type { TelemetryStore } from './telemetry.ts'

export interface RegistryPorts {
  clock: Clock
  suite: Suite
  log: Log
}

export interface RegistryOptions {
  /** Prefixes of the networks that this machine is on, "10.0.0.0/8": no inner IPv4 address is taken from them. */
  underlay?: readonly string[]
  /** Days that readings are kept; for ever where undefined. */
  telemetryDays?: number
  /** Readings kept at most, over all devices; no limit where undefined. */
  telemetryRows?: number
}

/** What has changed, told after the commit and after the directory knows it. */
export type RegistryChange =
  | { readonly kind: 'added' | 'changed' | 'revoked'; readonly principal: Principal }
  | { readonly kind: 'grants' }

/** DATA/adit.db behind its stores. Its opener must hold the data folder's lock (shared/platform/lock.ts). */
export declare class Registry {
  static open(dataDir: string, ports: RegistryPorts, options?: RegistryOptions): Promise<Registry>
  readonly fleet: Fleet
  readonly directory: Directory
  readonly claims: ClaimStore
  readonly certificates: CertificateStore
  readonly devices: PrincipalStore
  readonly operators: PrincipalStore
  readonly grants: GrantStore
  readonly policy: Policy
  readonly audit: AuditLog
  readonly telemetry: TelemetryStore
  readonly hostKeys: HostKeyStore
  readonly presence: PresenceStore
  readonly settings: SettingStore
  /** Returns how to stop listening. */
  onChange(listener: (change: RegistryChange) => void): () => void
  close(): Promise<void>
}
