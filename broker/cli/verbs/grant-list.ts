import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Grant {
  id: number
  operators: string[]
  groups: string[]
  tags: string[]
  devices: string[]
  from: string[]
  to: string[]
  ports: string[]
  until: string | null
  revoked: string | null
}

/** `adit-broker grant list` */
export function grantList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'list the grants', ['adit-broker grant list', 'adit-broker grant list --all'])
    .option('--all', 'revoked ones too')
    .action(async (options: CommonOptions & { all?: boolean }) => {
      const desk = deskOf(terminal, options)
      desk.print(await desk.ask<Grant[]>('grant.list', { all: options.all ?? false }), (grants) =>
        table([['GRANT', 'WHO', 'REACHES', 'PORTS', 'UNTIL', 'STATE'], ...grants.map(row)]),
      )
    })
}

const row = (grant: Grant): string[] => [
  String(grant.id),
  [...grant.operators, ...grant.groups.map((group) => `group:${group}`), ...grant.from.map((name) => `from:${name}`)].join(' '),
  [...grant.tags.map((tag) => `tag:${tag}`), ...grant.devices, ...grant.to.map((name) => `behind:${name}`)].join(' '),
  grant.ports.join(' ') || 'reading only',
  grant.until ?? 'for ever',
  grant.revoked === null ? 'granted' : 'revoked',
]
