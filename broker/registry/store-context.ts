import type { Kysely, Transaction } from 'kysely'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { AddressPlan } from './address-plan.ts'
import type { Directory } from './directory.ts'
import type { PeerSecrets } from './peer-secrets.ts'
import type { RegistryChange } from './registry.ts'
import type { Tables } from './schema.ts'

export type WriteTransaction = Transaction<Tables>

/** What the stores of one registry share. */
export interface StoreContext {
  readonly db: Kysely<Tables>
  readonly clock: Clock
  readonly suite: Suite
  readonly log: Log
  readonly directory: Directory
  readonly addresses: AddressPlan
  readonly secrets: PeerSecrets
  /** Puts a changed principal into the directory and tells the listeners: after the commit only. */
  changed(change: RegistryChange): void
}
