import type { Selectable } from 'kysely'
import { ipv4Text } from './address-plan.ts'
import type { DataPlan, IpsecFacts, Principal } from './principal.ts'
import type { IpsecPeerRow, KeyRow, Tables } from './schema.ts'
import type { WriteTransaction } from './store-context.ts'

type Reader = Pick<WriteTransaction, 'selectFrom'>

interface Parts {
  keys: Selectable<KeyRow>[]
  tags: string[]
  groups: string[]
  subnets: readonly string[]
  ipsec?: Facts
}

/** The row without its secrets. */
type Facts = Omit<Selectable<IpsecPeerRow>, 'psk' | 'ppk' | 'ppk_id'>

const factColumns = ['principal_id', 'identity', 'psk_key', 'ike_proposals', 'esp_proposals'] as const
/** One array for all that have none. */
const none: readonly string[] = []

/** Every principal of the registry, in the order of their making. Six queries, however many there are. */
export async function loadPrincipals(db: Reader): Promise<Principal[]> {
  const rows = await db.selectFrom('principals').selectAll().orderBy('id').execute()
  const parts = new Map<number, Parts>(rows.map(({ id }) => [id, { keys: [], tags: [], groups: [], subnets: none }]))
  for (const key of await db.selectFrom('keys').selectAll().orderBy('created_at').orderBy('value').execute()) {
    parts.get(key.principal_id)?.keys.push(key)
  }
  for (const { principal_id, tag } of await db.selectFrom('tags').selectAll().orderBy('tag').execute()) {
    parts.get(principal_id)?.tags.push(tag)
  }
  for (const { principal_id, name } of await db.selectFrom('groups').selectAll().orderBy('name').execute()) {
    parts.get(principal_id)?.groups.push(name)
  }
  for (const { principal_id, cidr } of await db.selectFrom('subnets').selectAll().orderBy('cidr').execute()) {
    const own = parts.get(principal_id)
    if (own) own.subnets = [...own.subnets, cidr]
  }
  for (const facts of await db.selectFrom('ipsec_peers').select(factColumns).execute()) {
    const own = parts.get(facts.principal_id)
    if (own) own.ipsec = facts
  }
  return rows.map((row) => principalOf(row, parts.get(row.id) ?? { keys: [], tags: [], groups: [], subnets: none }))
}

/** One principal as it stands inside the transaction. */
export async function loadPrincipal(db: Reader, id: number): Promise<Principal> {
  const row = await db.selectFrom('principals').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  const keys = await db
    .selectFrom('keys')
    .selectAll()
    .where('principal_id', '=', id)
    .orderBy('created_at')
    .orderBy('value')
    .execute()
  const tags = await db.selectFrom('tags').select('tag').where('principal_id', '=', id).orderBy('tag').execute()
  const groups = await db.selectFrom('groups').select('name').where('principal_id', '=', id).orderBy('name').execute()
  const subnets = await db.selectFrom('subnets').select('cidr').where('principal_id', '=', id).orderBy('cidr').execute()
  const facts = await db.selectFrom('ipsec_peers').select(factColumns).where('principal_id', '=', id).executeTakeFirst()
  return principalOf(row, {
    keys,
    tags: tags.map(({ tag }) => tag),
    groups: groups.map(({ name }) => name),
    subnets: subnets.map(({ cidr }) => cidr),
    ...(facts && { ipsec: facts }),
  })
}

/** A row with what belongs to it: keys in the order of their making, tags, groups and subnets in that of the alphabet. */
export function principalOf(row: Selectable<Tables['principals']>, { keys, tags, groups, subnets, ipsec }: Parts): Principal {
  const tunnel = keys.find(({ kind, retired_at }) => kind === 'tunnel' && retired_at === null)
  return {
    id: row.id,
    publicId: row.public_id,
    kind: row.kind,
    name: row.name,
    tags,
    groups,
    admin: row.admin === 1,
    tunnelKey: tunnel?.value,
    identityKeys: keys.filter(({ kind }) => kind === 'identity').map(({ value }) => value),
    addresses: row.inner4 === null ? [row.inner6] : [row.inner6, ipv4Text(row.inner4)],
    createdAt: row.created_at,
    ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
    ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
    stock: row.stock === 1,
    subnets,
    ...(ipsec && { ipsec: toFacts(ipsec) }),
    ...(row.data_plan !== null && { data: JSON.parse(row.data_plan) as DataPlan }),
  }
}

const toFacts = (row: Facts): IpsecFacts => ({
  pskKey: row.psk_key ?? undefined,
  identity: row.identity,
  ikeProposals: JSON.parse(row.ike_proposals) as string[],
  espProposals: JSON.parse(row.esp_proposals) as string[],
})
