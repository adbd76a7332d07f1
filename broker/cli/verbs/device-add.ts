import type { Command } from 'commander'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, deskOf, duration, verb } from '../verb.ts'

interface Options extends CommonOptions {
  name: string
  wireguard: string
  tag?: string[]
  expires?: number
}

/** `adit-broker device add`: a stock WireGuard peer; prints its wg-quick configuration and nothing else. */
export function deviceAdd(parent: Command, terminal: Terminal): void {
  verb(parent, 'add', 'register a stock WireGuard peer and print its wg-quick configuration', [
    'wg genkey | tee pi.key | wg pubkey',
    'adit-broker device add --name pi-9 --wireguard "$(wg pubkey < pi.key)" --tag site:oslo > wg0.conf',
  ])
    .requiredOption('--name <name>', 'name of the device')
    .requiredOption('--wireguard <key>', 'its public key, as wg pubkey prints it')
    .option('--tag <tag>', 'tag of the device; repeatable', collect)
    .option('--expires <span>', 'how long it is admitted: 30d (default: until revoked)', duration)
    .action(async (options: Options) => {
      const desk = deskOf(terminal, options)
      const { name, wireguard, tag: tags = [], expires: lasting } = options
      const device = await desk.ask<{ config: string }>('device.add', { name, wireguard, tags, lasting })
      desk.print(device, ({ config }) => config)
    })
}
