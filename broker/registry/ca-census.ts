import type { StoreContext } from './store-context.ts'

/** How many unrevoked principals hold what of the fleet's authorities, so that a rotation knows whom it would leave behind. */
export interface IssuerCount {
  /** SHA-256 of the issuer's SPKI, hex. */
  readonly issuerHex: string
  /** Principals whose newest certificate is by it. */
  readonly newest: number
  /** Those of them whose certificate has ended: they may renew when they wake, by lanes that last for years. */
  readonly asleep: number
}

/** What a device has of the authorities. */
export interface Holding {
  /** The roots that it says it trusts: SHA-256, hex, in alphabetical order with commas between; undefined: it has never said. */
  readonly roots: string | undefined
  /** SHA-256 of the SPKI of its newest certificate's issuer, hex. */
  readonly issuerHex: string
}

/** What each principal has of the authorities: the newest certificate, and the roots that it says it trusts. */
export class CaCensus {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  /** By whom the newest certificate of each unrevoked principal is, revoked ones not counted. */
  async issuers(): Promise<IssuerCount[]> {
    const rows = await this.#context.db
      .selectFrom('certificates as c')
      .innerJoin('principals as p', 'p.id', 'c.principal_id')
      .select(['c.issuer', 'c.principal_id', 'c.not_after'])
      .where('p.revoked_at', 'is', null)
      .where('c.revoked_at', 'is', null)
      .orderBy('c.recorded_at')
      .orderBy('c.not_before')
      .execute()
    const now = this.#context.clock.wall()
    const newest = new Map(rows.map((row) => [row.principal_id, row]))
    const counts = new Map<string, { newest: number; asleep: number }>()
    for (const { issuer, not_after } of newest.values()) {
      const before = counts.get(issuer) ?? { newest: 0, asleep: 0 }
      counts.set(issuer, { newest: before.newest + 1, asleep: before.asleep + (not_after < now ? 1 : 0) })
    }
    return [...counts].map(([issuerHex, count]) => ({ issuerHex, ...count }))
  }

  /** Of unrevoked devices of ours that have a certificate, by their number; of one alone where `id` is given. */
  async holdings(id?: number): Promise<Map<number, Holding>> {
    const rows = await this.#context.db
      .selectFrom('certificates as c')
      .innerJoin('principals as p', 'p.id', 'c.principal_id')
      .leftJoin('trusted_roots as t', 't.principal_id', 'p.id')
      .select(['c.principal_id', 'c.issuer', 't.roots'])
      .where('p.kind', '=', 'device')
      .where('p.stock', '=', 0)
      .where('p.revoked_at', 'is', null)
      .where('c.revoked_at', 'is', null)
      .$if(id !== undefined, (query) => query.where('p.id', '=', id as number))
      .orderBy('c.recorded_at')
      .orderBy('c.not_before')
      .execute()
    return new Map(
      rows.map(({ principal_id, issuer, roots }) => [principal_id, { issuerHex: issuer, roots: roots ?? undefined }]),
    )
  }

  /** Unrevoked principals with a certificate that have not said yet that they trust that root (SHA-256, hex). */
  async withoutRoot(root: string): Promise<number> {
    const rows = await this.#context.db
      .selectFrom('principals as p')
      .leftJoin('trusted_roots as t', 't.principal_id', 'p.id')
      .select(['p.id', 't.roots'])
      .where('p.revoked_at', 'is', null)
      .where('p.stock', '=', 0)
      .where('p.id', 'in', (query) => query.selectFrom('certificates').select('principal_id'))
      .execute()
    return rows.filter(({ roots }) => !(roots ?? '').split(',').includes(root)).length
  }

  /** An agent says which roots it trusts: SHA-256, hex. Written where it differs from what it said before. */
  async saw(principalId: number, roots: readonly string[]): Promise<void> {
    const { db, clock } = this.#context
    const text = [...roots].sort().join(',')
    const before = await db.selectFrom('trusted_roots').select('roots').where('principal_id', '=', principalId).executeTakeFirst()
    if (before?.roots === text) return
    const row = { roots: text, at: clock.wall() }
    await db
      .insertInto('trusted_roots')
      .values({ principal_id: principalId, ...row })
      .onConflict((conflict) => conflict.column('principal_id').doUpdateSet(row))
      .execute()
  }
}
