import { join } from 'node:path'
import { fromBase64, toBase64 } from '#shared/bytes/base64.ts'
import type { AcceptedVoucher } from '#shared/enrolment/voucher-rules.ts'
import { AditError } from '#shared/errors.ts'
import { readSecret } from '#shared/platform/files.ts'
import { boardFiles } from './board-identity.ts'
import { readEitherCopy, writeBothCopies } from './two-copies.ts'

/**
 * How far a board has come in following a voucher:
 *
 *   leaving -> enrolling -> enrolled       a power cut anywhere: the next start goes on from there
 */
export type VoucherStage = 'leaving' | 'enrolling' | 'enrolled'

/** The voucher that the board follows. No owner's leaving touches it: what was refused once is refused for ever. */
export interface VoucherLedger extends AcceptedVoucher {
  readonly stage: VoucherStage
  /** CMS DER. */
  readonly voucher: Uint8Array
}

/** Undefined where no voucher was ever followed. Throws AditError `storage-failed` for one that is damaged in both copies. */
export function readVoucherLedger(folder: string): Promise<VoucherLedger | undefined> {
  const path = join(folder, boardFiles.ledger)
  return readEitherCopy(path, readSecret, (bytes) => {
    try {
      const { createdOn, digest, stage, voucher } = JSON.parse(Buffer.from(bytes).toString('utf8'))
      if (!Number.isSafeInteger(createdOn) || !/^[0-9a-f]{64}$/.test(digest) || !stages.includes(stage)) throw new TypeError()
      return { createdOn, digest, stage, voucher: fromBase64(voucher) }
    } catch (cause) {
      const mend = 'Restore it from a copy: without it the board cannot tell a new voucher from an old one.'
      throw new AditError('storage-failed', `${path} is damaged.`, mend, { cause })
    }
  })
}

export const writeVoucherLedger = (folder: string, { voucher, ...ledger }: VoucherLedger): Promise<void> =>
  writeBothCopies(join(folder, boardFiles.ledger), `${JSON.stringify({ ...ledger, voucher: toBase64(voucher) })}\n`)

const stages: readonly VoucherStage[] = ['leaving', 'enrolling', 'enrolled']
