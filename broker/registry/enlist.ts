import { type Kysely, type Selectable, sql } from 'kysely'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { numberIn, stemOf } from '#shared/enrolment/delegation.ts'
import { expandPattern } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { FixedQuery } from '#shared/platform/fixed-query.ts'
import type { Principal, PrincipalKind } from './principal.ts'
import { principalOf } from './principal-rows.ts'
import type { KeyRow, PrincipalRow, Tables } from './schema.ts'
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
  await assertFree(context, transaction, keysOf(newcomer), newcomer)
  await assertSubnetsFree(transaction, newcomer.name, newcomer.subnets ?? [])
  const now = context.clock.wall()
  const values = {
    public_id: toHex(context.suite.random(16)),
    kind: newcomer.kind,
    name: newcomer.name,
    admin: newcomer.admin ? 1 : 0,
    stock: newcomer.stock ? 1 : 0,
    ...(await context.addresses.allocate(transaction, firstKeyHash(context, newcomer))),
    created_at: now,
    expires_at: newcomer.expiresAt,
    revoked_at: null,
    data_plan: null,
  }
  const [{ id }] = (await insertPrincipal.execute(transaction, values)) as [{ id: number }]
  const keys = keysOf(newcomer).map((key) => ({ ...key, principal_id: id, created_at: now, retired_at: null }))
  const tags = [...new Set(newcomer.tags)].sort()
  const groups = [...new Set(newcomer.groups)].sort()
  const subnets = [...(newcomer.subnets ?? [])].sort()
  if (keys.length > 0) await transaction.insertInto('keys').values(keys).execute()
  for (const tag of tags) await transaction.insertInto('tags').values({ principal_id: id, tag }).execute()
  for (const name of groups) await transaction.insertInto('groups').values({ principal_id: id, name }).execute()
  for (const cidr of subnets) await transaction.insertInto('subnets').values({ principal_id: id, cidr }).execute()
  return principalOf({ ...values, id }, { keys, tags, groups, subnets })
}

type Key = Pick<KeyRow, 'kind' | 'value'>

const keysOf = ({ spkiSha256, tunnelKey }: Newcomer): Key[] => [
  ...(spkiSha256 ? [{ kind: 'identity' as const, value: spkiSha256 }] : []),
  ...(tunnelKey ? [{ kind: 'tunnel' as const, value: tunnelKey }] : []),
]

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
    await assertFree(context, transaction, [{ kind: 'identity', value: keys.spkiSha256 }])
    await addKey(transaction, 'identity', keys.spkiSha256, principalId, now)
  }
  if (keys.tunnelKey && !has('tunnel', keys.tunnelKey)) {
    await assertFree(context, transaction, [{ kind: 'tunnel', value: keys.tunnelKey }])
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

/** How many taken names a counter steps over before it gives up. */
const counterSteps = 1_000

/**
 * The pattern's first name after number `last` that is free, and its number; undefined where there is none near. Numbers that a station may give
 * by itself, without asking, are not free though nobody has them yet.
 */
export async function nextName(
  transaction: WriteTransaction,
  kind: PrincipalKind,
  pattern: string,
  last: number,
): Promise<{ name: string; number: number } | undefined> {
  const delegated = kind === 'device' ? await delegatedNumbers(transaction, pattern) : []
  for (let number = last + 1, step = 0; step < counterSteps; step += 1, number += 1) {
    const name = expandPattern(pattern, number)
    const reserved = delegated.find((range) => {
      const at = numberIn(range.names, name) ?? 0
      return at >= range.first && at <= range.last
    })
    if (reserved?.names === pattern) number = reserved.last
    else if (reserved === undefined && !(await isNameTaken(transaction, kind, name))) return { name, number }
  }
  return undefined
}

/** Those of stations that are not revoked, of patterns that could make the same names. */
const delegatedNumbers = (transaction: WriteTransaction, pattern: string) =>
  transaction
    .selectFrom('delegations')
    .select(['names', 'first', 'last'])
    .where('stem', '=', stemOf(pattern))
    .where('revoked_at', 'is', null)
    .execute()

/** What somebody has. */
type Held = KeyRow['kind'] | 'name'

/** The first of the keys, or else the name, that somebody has says what is wrong. One query: nearly always nobody has any. */
async function assertFree(
  context: StoreContext,
  transaction: WriteTransaction,
  keys: readonly Key[],
  named?: Pick<Newcomer, 'kind' | 'name'>,
): Promise<void> {
  const keyOf = (wanted: KeyRow['kind']): string => keys.find(({ kind }) => kind === wanted)?.value ?? nobodys
  const { kind: namedKind = 'device', name: wantedName = nobodys } = named ?? {}
  const asked = { identity: keyOf('identity'), tunnel: keyOf('tunnel'), kind: namedKind, name: wantedName }
  const holders = await heldBySomebody.execute(transaction, asked)
  const [holder] = [...keys.map(({ kind }) => kind), 'name'].flatMap((wanted) => holders.filter(({ what }) => what === wanted))
  if (!holder) return
  const { what, kind, name } = holder
  if (what === 'name') {
    const message = `There is a ${kind} of the name ${name} already, with another key.`
    throw new AditError('name-taken', message, `Choose another name, or revoke the old one: adit-broker ${kind} revoke ${name}`)
  }
  if (holder.revoked_at !== null) {
    throw new AditError('revoked', `This ${what} key was revoked with ${kind} ${name}.`, 'Make new keys and enrol again.')
  }
  context.log.warn({ holder: name, kind: what }, 'a key that is enrolled already was offered again')
  if (what === 'identity') {
    const message = `This identity key is enrolled already, as ${kind} ${name}.`
    throw new AditError('already-enrolled', message, `Revoke ${name} first, or use a state folder of its own.`)
  }
  throw new AditError(
    'request-refused',
    'This tunnel key belongs to another device or operator.',
    'Make new keys and enrol again.',
  )
}

/** No key, and no name. */
const nobodys = ''

interface Wanted {
  readonly identity: string
  readonly tunnel: string
  readonly kind: PrincipalKind
  readonly name: string
}

const heldBySomebody = new FixedQuery((db: Kysely<Tables>, { identity, tunnel, kind, name }: Wanted) =>
  db
    .selectFrom('keys')
    .innerJoin('principals', 'principals.id', 'keys.principal_id')
    .select([sql<Held>`keys.kind`.as('what'), 'principals.name', 'principals.kind', 'principals.revoked_at'])
    .where(({ or, and, eb }) =>
      or([
        and([eb('keys.kind', '=', 'identity'), eb('keys.value', '=', identity)]),
        and([eb('keys.kind', '=', 'tunnel'), eb('keys.value', '=', tunnel)]),
      ]),
    )
    .unionAll(
      db
        .selectFrom('principals')
        .select([sql<Held>`'name'`.as('what'), 'name', 'kind', 'revoked_at'])
        .where('kind', '=', kind)
        .where('name', '=', name)
        .where('revoked_at', 'is', null),
    ),
)

const insertPrincipal = new FixedQuery((db: Kysely<Tables>, row: Omit<Selectable<PrincipalRow>, 'id'>) =>
  db
    .insertInto('principals')
    .values({
      public_id: row.public_id,
      kind: row.kind,
      name: row.name,
      admin: row.admin,
      stock: row.stock,
      inner6: row.inner6,
      inner4: row.inner4,
      created_at: row.created_at,
      expires_at: row.expires_at,
      revoked_at: row.revoked_at,
      data_plan: row.data_plan,
    })
    .returning('id'),
)

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
