import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, deskOf, end, portRange, usage, verb } from '../verb.ts'

interface Options extends CommonOptions {
  operator?: string[]
  group?: string[]
  tag?: string[]
  device?: string[]
  port?: { from: number; to: number }[]
  until?: { lasting: number } | { until: number }
}

/** `adit-broker grant add`: who may reach which ports of which devices, until when. */
export function grantAdd(parent: Command, terminal: Terminal): void {
  verb(parent, 'add', "let operators reach ports of devices, and read those devices' telemetry and audit rows", [
    'adit-broker grant add --operator ann --tag site:oslo --port 22',
    'adit-broker grant add --group field --device pi-7 --port 22 --port 8000-8010 --until 7d',
  ])
    .option('--operator <name>', 'who; repeatable', collect)
    .option('--group <group>', 'who: members of this group; repeatable', collect)
    .option('--tag <tag>', 'devices with this tag; with several, any of them', collect)
    .option('--device <name>', 'this device; repeatable', collect)
    .option('--port <port>', 'port, range (8000-8010) or all; repeatable. Without it: reading only', portRange)
    .option('--until <end>', 'span (7d) or moment (2027-01-31T12:00Z); for ever without it', end)
    .action(async (options: Options) => {
      const {
        operator: operators = [],
        group: groups = [],
        tag: tags = [],
        device: devices = [],
        port: ports = [],
        until,
      } = options
      if (operators.length + groups.length === 0) throw usage('A grant needs --operator or --group.', 'grant add')
      if (tags.length + devices.length === 0) throw usage('A grant needs --tag or --device.', 'grant add')
      const desk = deskOf(terminal, options)
      const grant = await desk.ask<{ id: number }>('grant.add', { operators, groups, tags, devices, ports, ...until })
      desk.print(grant, ({ id }) => `grant ${id} added\n`)
    })
}
