import { equalPublic } from '#shared/bytes/equal.ts'
import type { Voucher } from '#shared/enrolment/voucher.ts'
import { AditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** What a board knows when a voucher of its own maker comes in. */
export interface VoucherReader {
  /** The board's serial number. */
  readonly serial: string
  /** AuthorityKeyIdentifier DER of its IDevID. */
  readonly idevidIssuer: Uint8Array
  /** Of the request that is open. */
  readonly nonce?: Uint8Array
  /** The voucher that it has followed last. */
  readonly accepted?: AcceptedVoucher
  /** The time floor (DESIGN D5): a board without a clock knows only what has passed. */
  readonly floor: WallTime
}

export interface AcceptedVoucher {
  /** ms since 1970. */
  readonly createdOn: number
  /** SHA-256 of the voucher's JSON, hex: its signature may be made anew without making it another one. */
  readonly digest: string
}

/**
 * Whether a voucher that its maker has signed is for this board, now. `again`: the one that it follows already, which changes nothing.
 * Throws AditError with the reason: `voucher-foreign`, `voucher-replayed`, `voucher-doubled` or `voucher-expired`.
 *
 *   created before the last one   -> replayed: an owner who sold the board may not take it back
 *   created with it, and another  -> doubled: its maker has spoken twice at once, and neither is to be guessed at
 *   ended before the time floor   -> expired; a clock in 1970 or 2099 decides nothing, and that it was signed shows a time itself
 */
export function judgeVoucher(voucher: Voucher, digest: string, board: VoucherReader): 'new' | 'again' {
  if (voucher.serial !== board.serial) throw foreign('it is for another board')
  if (voucher.idevidIssuer && !equalPublic(voucher.idevidIssuer, board.idevidIssuer))
    throw foreign('it is for a board of the same serial number by another maker')
  const { accepted } = board
  if (accepted && voucher.createdOn < accepted.createdOn) throw replayed()
  if (accepted && voucher.createdOn === accepted.createdOn) {
    if (digest === accepted.digest) return 'again'
    throw doubled()
  }
  if (voucher.nonce && !(board.nonce && equalPublic(voucher.nonce, board.nonce)))
    throw new AditError(
      'voucher-replayed',
      'The voucher is refused: it answers another request than the one that is open.',
      'Ask again from this board, or get a voucher without a nonce from its maker.',
    )
  if (voucher.expiresOn !== undefined && voucher.expiresOn < board.floor) throw expired(voucher.expiresOn)
  return 'new'
}

/** Once it is known to be later than the floor was: the authority that the voucher pins shows a time of its own. */
export function checkStillHolds({ expiresOn }: Voucher, floor: WallTime): void {
  if (expiresOn !== undefined && expiresOn < floor) throw expired(expiresOn)
}

const mend = 'Ask the maker of the board for a new voucher.'

const foreign = (why: string): AditError => new AditError('voucher-foreign', `The voucher is refused: ${why}.`, mend)

const replayed = (): AditError =>
  new AditError('voucher-replayed', 'The voucher is refused: this board has followed a newer one.', mend)

const doubled = (): AditError =>
  new AditError('voucher-doubled', 'The voucher is refused: this board has followed another one of the same moment.', mend)

const expired = (at: WallTime): AditError =>
  new AditError('voucher-expired', `The voucher is refused: it ended at ${new Date(at).toISOString()}.`, mend)
