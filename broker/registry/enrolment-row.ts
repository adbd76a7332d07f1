import type { Generated } from 'kysely'

/** `enrolled`: approved, and its certificate was given out. */
export type EnrolmentState = 'waiting' | 'approved' | 'denied' | 'enrolled'

/** A request for which a person's word was needed. Times are wall-clock ms. */
export interface EnrolmentRow {
  id: Generated<number>
  right_id: string
  spki: string
  role: 'device' | 'operator' | 'station'
  name: string | null
  serial: string | null
  /** JSON array of text. */
  tags: string
  source: string
  state: EnrolmentState
  /** JSON of a Wish; null: the hook was not asked. */
  wish: string | null
  reason: string | null
  asked_at: number
  seen_at: number
  decided_at: number | null
  decided_by: string | null
}

/** A key that has enrolled by a right. */
export interface RightUseRow {
  right_id: string
  spki: string
  tunnel_key: string | null
  serial: string | null
  principal_id: number
  at: number
}
