import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, deskOf, end, portRange, usage, verb } from '../verb.ts'

interface Options extends CommonOptions {
  operator?: string[]
  group?: string[]
  tag?: string[]
  device?: string[]
  from?: string[]
  to?: string[]
  port?: { from: number; to: number }[]
  until?: { lasting: number } | { until: number }
}

/** `adit-broker grant add`: who may reach which ports of which devices, or of the hosts behind them, until when. */
export function grantAdd(parent: Command, terminal: Terminal): void {
  const summary =
    "let operators reach ports of devices, and read those devices' telemetry and audit rows; let sites reach ports of each other's hosts"
  verb(parent, 'add', summary, [
    'adit-broker grant add --operator ann --tag site:oslo --port 22',
    'adit-broker grant add --group field --device pi-7 --port 22 --port 8000-8010 --until 7d',
    'adit-broker grant add --operator ann --to plant-a --port 443',
    'adit-broker grant add --from plant-a --to plant-b --port any',
  ])
    .option('--operator <name>', 'who; repeatable', collect)
    .option('--group <group>', 'who: members of this group; repeatable', collect)
    .option('--tag <tag>', 'devices with this tag; with several, any of them', collect)
    .option('--device <name>', 'this device; repeatable', collect)
    .option('--from <name>', 'this device and the hosts in the subnets behind it; repeatable', collect)
    .option('--to <name>', 'hosts in the subnets behind this device, not the device itself; repeatable', collect)
    .option('--port <port>', 'port, range (8000-8010), or any; repeatable. Without it: reading only', portRange)
    .option('--until <end>', 'span (7d) or moment (2027-01-31T12:00Z); for ever without it', end)
    .action(async (options: Options) => {
      const { operator: operators = [], group: groups = [], tag: tags = [], device: devices = [] } = options
      const { from = [], to = [], port: ports = [], until } = options
      if (operators.length + groups.length + from.length === 0) {
        throw usage('A grant needs --operator, --group or --from.', 'grant add')
      }
      if (tags.length + devices.length + to.length === 0) throw usage('A grant needs --tag, --device or --to.', 'grant add')
      const desk = deskOf(terminal, options)
      const grant = await desk.ask<{ id: number; warnings: string[] }>('grant.add', {
        operators,
        groups,
        tags,
        devices,
        from,
        to,
        ports,
        ...until,
      })
      desk.print(grant, ({ id }) => `grant ${id} added\n`)
      if (!desk.json) for (const warning of grant.warnings) terminal.err(`${printable(warning)}\n`)
    })
}
