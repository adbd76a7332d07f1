import { formatProposal } from '#shared/ikev2/proposal.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'
import { childLifetime, deadPeerDelay, files, ikeLifetime, isIpv6, type PeerSheet } from './peer-sheet.ts'

/**
 * swanctl.conf(5) of strongSwan, with connection `adit` and child `adit`; it is loaded from the folder as it lies, or copied into
 * /etc/swanctl. The source port is 4500 too, since charon leaves the non-ESP marker out wherever either port is 500.
 */
export function swanctlConf(sheet: PeerSheet): string {
  return [
    `# ${sheet.name}: strongSwan joins the fleet by this file.`,
    '#   swanctl --load-all --file swanctl.conf    or copy what is in this folder to /etc/swanctl and run: swanctl --load-all',
    '#   swanctl --initiate --child adit',
    '',
    'connections {',
    ...indented(connection(sheet)),
    '}',
    ...secrets(sheet),
    '',
  ].join('\n')
}

function connection(sheet: PeerSheet): string[] {
  const byCertificate = sheet.proof.kind === 'certificate'
  return [
    'adit {',
    ...indented([
      'version = 2',
      `remote_addrs = ${sheet.brokerHost}`,
      `remote_port = ${sheet.brokerPort}`,
      'local_port = 4500',
      `proposals = ${proposals(sheet.ikeProposals)}`,
      `vips = ${sheet.addresses.some((address) => !isIpv6(address)) ? '0.0.0.0, ::' : '::'}`,
      'encap = yes',
      'mobike = yes',
      'fragmentation = yes',
      `dpd_delay = ${deadPeerDelay}s`,
      `rekey_time = ${ikeLifetime}s`,
      '# 0: try for ever.',
      'keyingtries = 0',
      ...(sheet.ppk ? [`ppk_id = ${sheet.ppk.id}`, 'ppk_required = yes'] : []),
      'local {',
      ...indented(
        byCertificate
          ? ['auth = pubkey', `certs = ${base(files.certificate)}`, `id = ${quoted(sheet.peerId)}`]
          : ['auth = psk', `id = ${quoted(sheet.peerId)}`],
      ),
      '}',
      'remote {',
      ...indented(
        byCertificate
          ? [
              'auth = pubkey',
              `id = ${quoted(sheet.brokerId)}`,
              "# The CA of the fleet's brokers alone: no other certificate of the fleet passes for one.",
              `cacerts = ${base(files.server)}`,
            ]
          : ['auth = psk', `id = ${quoted(sheet.brokerId)}`],
      ),
      '}',
      'children {',
      ...indented(child(sheet)),
      '}',
    ]),
    '}',
  ]
}

function child(sheet: PeerSheet): string[] {
  return [
    'adit {',
    ...indented([
      "# dynamic: the peer's inner addresses, which the broker assigns.",
      `local_ts = ${['dynamic', ...sheet.localNetworks].join(', ')}`,
      '# The broker narrows this to what it routes: the fleet, and the networks behind its other peers.',
      `remote_ts = ${sheet.offeredNetworks.join(', ')}`,
      `esp_proposals = ${proposals(sheet.espProposals)}`,
      `rekey_time = ${childLifetime}s`,
      'dpd_action = restart',
      '# Connect whenever charon starts, and again when the broker has closed the child:',
      '# start_action = start',
      '# close_action = start',
    ]),
    '}',
  ]
}

function secrets({ proof, ppk, peerId, brokerId }: PeerSheet): string[] {
  if (proof.kind !== 'psk' && ppk === undefined) return []
  const lines = ['secrets {']
  if (proof.kind === 'psk') {
    const words = [`id-peer = ${quoted(peerId)}`, `id-broker = ${quoted(brokerId)}`, `secret = ${secret(proof.secret)}`]
    lines.push(...indented(['ike-adit {', ...indented(words), '}']))
  }
  if (ppk) lines.push(...indented(['ppk-adit {', ...indented([`id = ${ppk.id}`, `secret = ${secret(ppk.secret)}`]), '}']))
  return [...lines, '}']
}

const proposals = (all: readonly Proposal[]): string => all.map(formatProposal).join(', ')

const quoted = (text: string): string => `"${text}"`

/** Hex is a number to swanctl only where no quotes stand around it. */
const secret = (text: string): string => (text.startsWith('0x') ? text : quoted(text))

const indented = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`)

/** swanctl looks for each kind of file in the folder of that kind. */
const base = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
