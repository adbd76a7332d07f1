import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { AditError } from '#shared/errors.ts'
import type { Principal, PrincipalKind } from './principal.ts'
import { loadPrincipal } from './principal-rows.ts'
import type { KeyRow } from './schema.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'
import { assertSubnetsFree } from './subnet-plan.ts'

/** A principal about to be. */
export interface Newcomer {
  kind: PrincipalKind
  name: string
  /** SHA-256 of its identity key's SPKI, hex; a stock peer has none. */
  spkiSha256?: string
  /** X25519, hex. */
  tunnelKey?: string
  /** Where it has neither: 64 random hex digits from which its inner address is made. */
  addressSeed?: string
  /** Networks behind it, as `checkSubnets` gives them. */
  subnets?: readonly string[]
  tags: readonly string[]
  groups: readonly string[]
  admin: boolean
  stock: boolean
  expiresAt: number | null
}

/**
 * Adds a principal within a transaction: live name free, keys of nobody, inner addresses of its own. Throws AditError `name-taken`,
 * `already-enrolled`, `request-refused`, `subnet-taken` or `revoked`; then the transaction must be rolled back.
 */
export async function enlist(context: StoreContext, transaction: WriteTransaction, newcomer: Newcomer): Promise<Principal> {
  if (newcomer.spkiSha256) await assertKeyFree(context, transaction, 'identity', newcomer.spkiSha256)
  if (newcomer.tunnelKey) await assertKeyFree(context, transaction, 'tunnel', newcomer.tunnelKey)
  await assertNameFree(transaction, newcomer.kind, newcomer.name)
  await assertSubnetsFree(transaction, newcomer.name, newcomer.subnets ?? [])
  const now = context.clock.wall()
  const { id } = await transaction
    .insertInto('principals')
    .values({
      public_id: toHex(context.suite.random(16)),
      kind: newcomer.kind,
      name: newcomer.name,
      admin: newcomer.admin ? 1 : 0,
      stock: newcomer.stock ? 1 : 0,
      inner6: await context.addresses.allocateV6(transaction, firstKeyHash(context, newcomer)),
      inner4: await context.addresses.allocateV4(transaction),
      created_at: now,
      expires_at: newcomer.expiresAt,
      revoked_at: null,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  if (newcomer.spkiSha256) await addKey(transaction, 'identity', newcomer.spkiSha256, id, now)
  if (newcomer.tunnelKey) await addKey(transaction, 'tunnel', newcomer.tunnelKey, id, now)
  for (const tag of new Set(newcomer.tags)) await transaction.insertInto('tags').values({ principal_id: id, tag }).execute()
  for (const name of new Set(newcomer.groups)) await transaction.insertInto('groups').values({ principal_id: id, name }).execute()
  for (const cidr of newcomer.subnets ?? []) await transaction.insertInto('subnets').values({ principal_id: id, cidr }).execute()
  return loadPrincipal(transaction, id)
}

/**
 * Binds what a renewal proved to a principal: an identity key beside the old ones, a tunnel key in place of the old one. Keys that are
 * there already change nothing.
 */
export async function bindKeys(
  context: StoreContext,
  transaction: WriteTransaction,
  principalId: number,
  keys: { spkiSha256: string; tunnelKey: string | undefined },
): Promise<void> {
  const now = context.clock.wall()
  const own = await transaction.selectFrom('keys').selectAll().where('principal_id', '=', principalId).execute()
  const has = (kind: KeyRow['kind'], value: string): boolean =>
    own.some((key) => key.kind === kind && key.value === value && key.retired_at === null)
  if (!has('identity', keys.spkiSha256)) {
    await assertKeyFree(context, transaction, 'identity', keys.spkiSha256)
    await addKey(transaction, 'identity', keys.spkiSha256, principalId, now)
  }
  if (keys.tunnelKey && !has('tunnel', keys.tunnelKey)) {
    await assertKeyFree(context, transaction, 'tunnel', keys.tunnelKey)
    await transaction
      .updateTable('keys')
      .set({ retired_at: now })
      .where('principal_id', '=', principalId)
      .where('kind', '=', 'tunnel')
      .where('retired_at', 'is', null)
      .execute()
    await addKey(transaction, 'tunnel', keys.tunnelKey, principalId, now)
  }
}

/** Whether a live principal of the kind bears the name (A-43: such a one is never overwritten). */
export async function isNameTaken(transaction: WriteTransaction, kind: PrincipalKind, name: string): Promise<boolean> {
  const holder = await transaction
    .selectFrom('principals')
    .select('id')
    .where('kind', '=', kind)
    .where('name', '=', name)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return holder !== undefined
}

async function assertNameFree(transaction: WriteTransaction, kind: PrincipalKind, name: string): Promise<void> {
  if (!(await isNameTaken(transaction, kind, name))) return
  const message = `There is a ${kind} of the name ${name} already, with another key.`
  throw new AditError('name-taken', message, `Choose another name, or revoke the old one: adit-broker ${kind} revoke ${name}`)
}

async function assertKeyFree(
  context: StoreContext,
  transaction: WriteTransaction,
  kind: KeyRow['kind'],
  value: string,
): Promise<void> {
  const row = await transaction
    .selectFrom('keys')
    .innerJoin('principals', 'principals.id', 'keys.principal_id')
    .select(['principals.name', 'principals.kind', 'principals.revoked_at'])
    .where('keys.kind', '=', kind)
    .where('keys.value', '=', value)
    .executeTakeFirst()
  if (!row) return
  if (row.revoked_at !== null) {
    throw new AditError('revoked', `This ${kind} key was revoked with ${row.kind} ${row.name}.`, 'Make new keys and enrol again.')
  }
  context.log.warn({ holder: row.name, kind }, 'a key that is enrolled already was offered again')
  if (kind === 'identity') {
    const message = `This identity key is enrolled already, as ${row.kind} ${row.name}.`
    throw new AditError('already-enrolled', message, `Revoke ${row.name} first, or use a state folder of its own.`)
  }
  throw new AditError(
    'request-refused',
    'This tunnel key belongs to another device or operator.',
    'Make new keys and enrol again.',
  )
}

const addKey = async (
  transaction: WriteTransaction,
  kind: KeyRow['kind'],
  value: string,
  principalId: number,
  now: number,
): Promise<void> => {
  await transaction
    .insertInto('keys')
    .values({ kind, value, principal_id: principalId, created_at: now, retired_at: null })
    .execute()
}

/** What the inner address is made of: the SPKI's hash, or the hash of a stock peer's tunnel key. */
function firstKeyHash({ suite }: StoreContext, newcomer: Newcomer): Uint8Array {
  if (newcomer.spkiSha256) return fromHex(newcomer.spkiSha256)
  if (newcomer.tunnelKey) return suite.hash('sha256', fromHex(newcomer.tunnelKey))
  if (newcomer.addressSeed) return suite.hash('sha256', fromHex(newcomer.addressSeed))
  throw new TypeError('a principal has a key')
}
