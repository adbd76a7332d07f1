import { type Command, Option } from 'commander'
import type { Extent } from '#broker/admin/office.ts'
import { extentNote } from '../extent-note.ts'
import type { IpsecOptions } from '../ipsec-peer.ts'
import { keyTypes } from '../key-type.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, count, deskOf, duration, usage, verb } from '../verb.ts'

interface Options extends CommonOptions, IpsecOptions {
  wireguard?: string
  ipsec?: boolean
}

interface Added {
  config: string
  endpoint: string
  extent: Extent
}

/** The peer's name is taken now, and its configuration is its owner's to edit. */
const endpointMend =
  "write the broker's address as Endpoint; public-endpoints in config.toml does that for all that follow, once the broker is restarted."

/** What only an IPsec peer has. */
const ipsecWords = {
  out: '--out',
  csr: '--csr',
  keyType: '--key-type',
  psk: '--psk',
  ppk: '--ppk',
  ikeId: '--ike-id',
  subnet: '--subnet',
  reach: '--reach',
  suite: '--suite',
  esp: '--esp',
  endpoint: '--endpoint',
  days: '--days',
} as const satisfies Partial<Record<keyof IpsecOptions, string>>

/**
 * `adit-broker device add`: a stock WireGuard peer, whose wg-quick configuration is printed and nothing else, or a stock IPsec peer, for which
 * a folder is written.
 */
export function deviceAdd(parent: Command, terminal: Terminal): void {
  verb(parent, 'add', 'register a stock WireGuard peer (prints its wg-quick configuration) or IPsec peer (writes its folder)', [
    'umask 077; wg genkey > pi.key',
    'adit-broker device add --name pi-9 --wireguard "$(wg pubkey < pi.key)" --tag site:oslo > wg0.conf',
    'adit-broker device add --ipsec --name plant-a --subnet 192.168.1.0/24 --out ./plant-a',
    'adit-broker device add --ipsec --name plant-b --csr plant-b.csr --suite aes256-sha256-x25519 --out ./plant-b',
    'adit-broker device add --ipsec --name router-7 --psk generate --out ./router-7',
  ])
    .requiredOption('--name <name>', 'name of the device')
    .option('--wireguard <key>', 'a WireGuard peer: its public key, as wg pubkey prints it')
    .option('--ipsec', 'an IPsec peer: strongSwan, libreswan, a router')
    .option('--out <folder>', 'IPsec: the folder to write, which must not be there or be empty')
    .option('--subnet <cidr>', 'IPsec: a network behind it, its alone: 192.168.1.0/24; repeatable', collect)
    .option(
      '--reach <cidr>',
      'IPsec: a network that it sends here beside the fleet (default: those of other sites); repeatable',
      collect,
    )
    .option(
      '--csr <file>',
      'IPsec: its certificate request, PKCS#10; - reads standard input (default: the key is made into the folder)',
    )
    .addOption(new Option('--key-type <type>', 'IPsec: kind of the key that is made (default: p256)').choices(keyTypes))
    .option('--days <n>', 'IPsec: life of its certificate (default: 365)', count)
    .option('--psk <how>', 'IPsec: a pre-shared key in place of a certificate: generate, or - to read it from standard input')
    .option(
      '--ike-id <id>',
      'IPsec: identity that a peer with --psk claims: host name, address or mail address (default: its name)',
    )
    .option('--ppk <how>', 'IPsec: a postquantum pre-shared key beside it (RFC 8784): generate, or -')
    .option(
      '--suite <proposal>',
      'IPsec: what it may use, as strongSwan writes it: aes256gcm16-prfsha256-x25519; repeatable',
      collect,
    )
    .option(
      '--esp <proposal>',
      'IPsec: what its data may use, where that is not the same: aes256gmac-x25519; repeatable',
      collect,
    )
    .option('--endpoint <host[:port]>', 'IPsec: where it finds the broker (default: as it listens, or public-endpoints)')
    .option('--tag <tag>', 'tag of the device; repeatable', collect)
    .option('--expires <span>', 'how long it is admitted: 30d (default: until revoked)', duration)
    .action(async (options: Options) => {
      const { name, wireguard, ipsec, tag: tags = [], expires: lasting } = options
      if ((wireguard !== undefined) === (ipsec === true))
        throw usage('A device is added with --wireguard KEY or with --ipsec.', 'device add')
      const desk = deskOf(terminal, options)
      if (ipsec) {
        const { addIpsecPeer } = await import('../ipsec-peer.ts')
        return addIpsecPeer(desk, options, terminal)
      }
      for (const [key, word] of Object.entries(ipsecWords)) {
        if (options[key as keyof Options] !== undefined) throw usage(`${word} goes with --ipsec.`, 'device add')
      }
      const device = await desk.ask<Added>('device.add', { name, wireguard, tags, lasting })
      desk.print(device, ({ config }) => config)
      if (!desk.json) terminal.err(extentNote(device.extent, device.endpoint, endpointMend))
    })
}
