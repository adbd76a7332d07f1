import type { StoreContext } from './store-context.ts'

/** One line of what a device found out about itself. */
export interface SelfFinding {
  readonly state: 'broken' | 'warn' | 'ok'
  readonly code: string
  readonly text: string
  readonly mend: string
}

export interface SelfDiagnosis {
  /** Code of its worst line, or "ok". */
  readonly verdict: string
  readonly findings: readonly SelfFinding[]
}

/** The last self-diagnosis of each device: what `why` knows of a device's own side. */
export class DiagnosisStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  /** Resolves after the commit; the one before is forgotten. */
  async save(principalId: number, { verdict, findings }: SelfDiagnosis): Promise<void> {
    const row = { verdict, findings: JSON.stringify(findings), at: this.#context.clock.wall() }
    await this.#context.db
      .insertInto('diagnoses')
      .values({ principal_id: principalId, ...row })
      .onConflict((conflict) => conflict.column('principal_id').doUpdateSet(row))
      .execute()
  }

  /** With the wall-clock ms at which it came; undefined where the device has never told one. */
  async of(principalId: number): Promise<(SelfDiagnosis & { readonly at: number }) | undefined> {
    const row = await this.#context.db
      .selectFrom('diagnoses')
      .selectAll()
      .where('principal_id', '=', principalId)
      .executeTakeFirst()
    return row && { verdict: row.verdict, findings: JSON.parse(row.findings) as SelfFinding[], at: row.at }
  }
}
