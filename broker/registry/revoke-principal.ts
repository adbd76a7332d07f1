import type { RevocationReason } from '#shared/pki/revocation-reason.ts'
import type { WriteTransaction } from './store-context.ts'

/** A principal ends with all its certificates, within a transaction; what was revoked before keeps its moment. `now`: wall-clock ms. */
export async function revokePrincipal(
  transaction: WriteTransaction,
  id: number,
  now: number,
  reason?: RevocationReason,
): Promise<void> {
  await transaction
    .updateTable('principals')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .execute()
  await transaction
    .updateTable('certificates')
    .set({ revoked_at: now, revoke_reason: reason ?? null })
    .where('principal_id', '=', id)
    .where('revoked_at', 'is', null)
    .execute()
}
