import type { Office } from '#broker/admin/office.ts'
import { encodeBody } from '#shared/fleet/statement-body.ts'
import { statementWords } from '#shared/fleet/statement-words.ts'
import type { PendingStatements } from './statement-desk.ts'

/** What waits for a signature, as the one who signs is given it: by the API, or in a file. */
export const pendingDocument = (
  { pending, unsayable, atStations }: PendingStatements,
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
  /** Devices that wait for a station's word, and not for this signature. */
  atStations: countsOf(atStations),
})

function countsOf(waiting: PendingStatements['atStations']): { station: string; devices: number }[] {
  const counts = new Map<string, number>()
  for (const { station } of waiting) counts.set(station, (counts.get(station) ?? 0) + 1)
  return [...counts].map(([station, devices]) => ({ station, devices }))
}
