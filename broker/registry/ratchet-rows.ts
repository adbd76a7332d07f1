import type { Generated } from 'kysely'

/** The tables of migration 0011. Times are wall-clock ms; keys and hashes lower-case hex. */
export interface RatchetTables {
  ratchets: RatchetRow
  clones: CloneRow
  contests: ContestRow
  held_keys: { spki: string; principal_id: number; at: number }
}

interface RatchetRow {
  principal_id: number
  /** JSON of a RatchetLine. */
  line: string
  at: number
}

/** A copy that is held apart, or was. */
export interface CloneRow {
  id: Generated<number>
  principal_id: number
  state: 'held' | 'granted' | 'dismissed' | 'ended'
  /** SHA-256 of the SPKI of the key by which it came. */
  spki: string
  /** JSON array: hashes of ratchet secrets by which it is known again. */
  ends: string
  /** JSON of HardwareHints. */
  board: string
  /** JSON array: hints in which it differs from the one that was kept. */
  differing: string
  /** Which of the two was kept: the one that was known, or the one whose contact showed the fork. */
  kept: 'holder' | 'newcomer'
  /** Address from which it came last; null where it has not come since. */
  source: string | null
  found_at: number
  last_at: number
  contacts: number
  /** The name that a person has granted it. */
  name: string | null
  /** A claim for that name, until it was used: a secret. */
  claim: string | null
}

/** A principal of whose two holders the kept one has not come under fresh keys yet. */
interface ContestRow {
  principal_id: number
  /** The key that both hold. */
  spki: string
  /** SHA-256 of what lets the kept one, and it alone, ask for a certificate of fresh keys. */
  ticket: string | null
  opened_at: number
}
