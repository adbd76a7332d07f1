/** A maker of boards that is believed. Times are wall-clock ms; hashes lower-case hex. */
export interface FactoryRow {
  /** SHA-256 of the root's DER. */
  fingerprint: string
  der: Uint8Array
  added_at: number
}

/** The newest voucher of a board: one a (factory, serial). */
export interface VoucherRow {
  factory: string
  serial: string
  created_on: number
  expires_on: number | null
  /** SHA-256 of its JSON. */
  digest: string
  /** As it came. */
  cms: Uint8Array
  /** A name or a pattern; null: the name is made from the serial number. */
  name: string | null
  /** The number that its name has taken of the pattern's counter. */
  counter: number
  /** JSON array of text. */
  tags: string
  imported_at: number
  /** How often an operator has given its board leave to enrol once more. */
  leave: number
  /** The device that its board has become; null while it may enrol. */
  principal_id: number | null
}
