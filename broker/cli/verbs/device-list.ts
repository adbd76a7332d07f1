import type { Command } from 'commander'
import { table } from '#shared/terminal/table.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

export interface PrincipalDocument {
  id: string
  name: string
  state: string
  addresses: string[]
  tags: string[]
  groups?: string[]
  admin?: boolean
  wireguard: boolean
  ipsec: object | null
  subnets: string[]
  created: string
  expires: string | null
}

/** `adit-broker device list` */
export function deviceList(parent: Command, terminal: Terminal): void {
  verb(parent, 'list', 'list the devices that are not revoked', [
    'adit-broker device list',
    'adit-broker device list --json',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<PrincipalDocument[]>('device.list', {}), (devices) =>
      table([
        ['DEVICE', 'STATE', 'KIND', 'ADDRESSES', 'EXPIRES', 'TAGS'],
        ...devices.map((device) => [
          device.name,
          device.state,
          device.ipsec ? 'ipsec' : device.wireguard ? 'wireguard' : 'agent',
          [...device.addresses, ...device.subnets].join(' '),
          device.expires ?? 'never',
          device.tags.join(' '),
        ]),
      ]),
    )
  })
}
