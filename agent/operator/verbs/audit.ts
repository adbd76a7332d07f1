import type { OperatorContext } from '#agent/operator/context.ts'
import { auditDetail } from '#shared/terminal/audit-detail.ts'
import { table } from '#shared/terminal/table.ts'

/** `adit audit`: the latest rows about your grants' devices and yourself, oldest first. `--json`: one row a line. */
export async function audit(context: OperatorContext, limit: number): Promise<void> {
  const { rows } = await (await context.api()).audit({ limit })
  if (context.json) return context.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const cells = rows.map(({ at, actor, action, subject, detail }) => [at, actor, action, subject, auditDetail(detail)])
  await context.write(table([['AT', 'WHO', 'DID', 'TO', 'DETAIL'], ...cells]))
}
