export interface AuditEntry {
  /** Who did it: `operator:ann`, `device:pi-7`, `admin:root` (the command line), `broker`. */
  readonly actor: string
  /** `session.open`, `flow.refused`, `claim.create`, … */
  readonly action: string
  /** What it was done to: `device:pi-7`, `claim:0123…`. */
  readonly subject: string
  readonly detail?: Readonly<Record<string, unknown>>
  /** The device concerned, so that its grants decide who may read the row. */
  readonly deviceId?: number
}

export interface AuditRow extends AuditEntry {
  readonly id: number
  /** Wall-clock ms. */
  readonly at: number
}

export interface AuditQuery {
  /** Rows after this id. */
  after?: number
  /** 100 unless said otherwise, 1,000 at most. */
  limit?: number
  /** Only rows about these devices, or by `actor`. */
  visibleTo?: { deviceIds: readonly number[]; actor: string }
  /** The last `limit` rows instead of the first after `after`; still in ascending order. */
  newest?: boolean
}

/** Append only: the database itself refuses to change or delete a row. */
export declare class AuditLog {
  /** Resolves after the commit (many appends share one). Who cannot wait need not: failures are also logged. */
  append(entry: AuditEntry): Promise<void>
  query(query?: AuditQuery): Promise<AuditRow[]>
}
