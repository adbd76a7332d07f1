/**
 * By which way a certificate that has expired may be renewed:
 * - `renewal`: it ended within the lane's days
 * - `readmitted`: a person has let its device back in
 * - `shelf`: it is the only one that its device ever had, and ended within the shelf's days
 * - `twin`: it is one by which a device came off its shelf of late; the ratchet alone is to say who of the two holders is the device
 * - `board`: the board that its device is has proven its IDevID
 */
export type Lane = 'renewal' | 'readmitted' | 'shelf' | 'twin' | 'board'

/** The tables of the lane. Times are wall-clock ms; serials and hashes lower-case hex. */
export interface LaneTables {
  readmissions: { principal_id: number; until: number; at: number }
  lane_returns: { principal_id: number; expired_at: number; at: number; lane: Lane }
  lane_renewals: LaneRenewalRow
}

/** A certificate that was given in a lane that is open once. */
interface LaneRenewalRow {
  issuer: string
  serial: string
  principal_id: number
  lane: Lane
  /** The expired one in whose place it came. */
  from_issuer: string
  from_serial: string
  at: number
  /** When its holder first showed it: from then on the one before is an old copy. */
  shown_at: number | null
}
