import type { Command } from 'commander'
import { auditDetail } from '#shared/terminal/audit-detail.ts'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, verb } from '../verb.ts'

interface Row {
  id: number
  at: string
  actor: string
  action: string
  subject: string
  detail: Record<string, unknown>
}

/** `adit-broker audit` */
export function audit(parent: Command, terminal: Terminal): void {
  verb(parent, 'audit', 'who did what: grants, sessions, refusals', [
    'adit-broker audit',
    'adit-broker audit --after 120 --limit 50 --json',
  ])
    .option('--limit <n>', 'rows at most, to 1000 (default: the newest 100)', count)
    .option('--after <id>', 'rows that follow this one', count)
    .action(async (options: CommonOptions & { limit?: number; after?: number }) => {
      const desk = deskOf(terminal, options)
      const rows = await desk.ask<Row[]>('audit', { limit: options.limit, after: options.after })
      if (desk.json) for (const row of rows) terminal.out(`${JSON.stringify(row)}\n`)
      else terminal.out(table([['ID', 'AT', 'WHO', 'DID', 'TO', 'DETAIL'], ...rows.map(cells)]))
    })
}

const cells = ({ id, at, actor, action, subject, detail }: Row): string[] => [
  String(id),
  at,
  actor,
  action,
  subject,
  auditDetail(detail),
]
