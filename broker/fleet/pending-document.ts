import type { Office } from '#broker/admin/office.ts'
import { encodeBody } from '#shared/fleet/statement-body.ts'
import { statementWords } from '#shared/fleet/statement-words.ts'
import type { PendingStatements } from './statement-desk.ts'

/** What waits for a signature, as the one who signs is given it: by the API, or in a file. */
export const pendingDocument = (
  { pending, unsayable }: PendingStatements,
  {
    authority,
    registry,
    suite,
  }: Pick<Office, 'suite'> & {
    authority: Pick<Office['authority'], 'fleetId'>
    registry: Pick<Office['registry'], 'statements'>
  },
) => ({
  fleet: Buffer.from(authority.fleetId).toString('base64'),
  key: registry.statements.pinned === undefined ? null : Buffer.from(registry.statements.pinned).toString('base64'),
  pending: pending.map(({ subject, reason, draft }) => ({
    subject,
    reason,
    /** For people; who signs says it anew from the draft. */
    words: statementWords(draft, suite),
    draft: Buffer.from(encodeBody(draft)).toString('base64'),
  })),
  unsayable: [...unsayable],
})
