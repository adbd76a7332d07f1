import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Claim {
  id: string
  role: string
  name: string | null
  state: string
  uses: number
  used: number
  tags: string[]
  expires: string
}

/** `adit-broker claim list` */
export function claimList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'list every claim and what became of it', [
    'adit-broker claim list',
    'adit-broker claim list --json',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<Claim[]>('claim.list', {}), (claims) =>
      table([
        ['CLAIM', 'ROLE', 'NAME', 'STATE', 'USED', 'EXPIRES', 'TAGS'],
        ...claims.map((c) => [c.id, c.role, c.name ?? '-', c.state, `${c.used}/${c.uses}`, c.expires, c.tags.join(' ')]),
      ]),
    )
  })
}
