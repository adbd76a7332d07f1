import { formatProposal } from '#shared/ikev2/proposal.ts'
import { childLifetime, deadPeerDelay, files, ikeLifetime, type PeerSheet } from './peer-sheet.ts'

/** The same on paper, for a router whose form somebody fills in. */
export function parameterSheet(sheet: PeerSheet): string {
  const rows: readonly (readonly [string, string | readonly string[]])[] = [
    ['Peer', sheet.name],
    ['Key exchange', 'IKEv2 (RFC 7296), never IKEv1'],
    ['Remote gateway', sheet.brokerHost],
    ['Remote port', `UDP ${sheet.brokerPort}, from the first packet on; local port 4500`],
    ['Encapsulation', 'ESP in UDP always (NAT traversal forced); tunnel mode; no AH'],
    ...(sheet.proof.kind === 'certificate'
      ? ([
          ['Authentication', 'certificates, both ways'],
          ['Own certificate', `${files.certificate}, issued by ${files.issuer}`],
          ['Own private key', `${files.privateKey}, unless the request was made elsewhere`],
          ['Trusted CA', `${files.root}; the broker's own issuer is ${files.server}`],
        ] as const)
      : ([
          ['Authentication', 'pre-shared key, both ways'],
          ['Pre-shared key', sheet.proof.secret],
        ] as const)),
    ['Local identity', sheet.peerId],
    ['Remote identity', sheet.brokerId],
    ...(sheet.ppk
      ? ([
          ['PPK identity', sheet.ppk.id],
          ['PPK', sheet.ppk.secret],
        ] as const)
      : []),
    ['IKE proposals', sheet.ikeProposals.map(formatProposal)],
    ['IKE lifetime', `${ikeLifetime} s`],
    ['ESP proposals', sheet.espProposals.map(formatProposal)],
    ['ESP lifetime', `${childLifetime} s`],
    ['Perfect secrecy', 'by the group in the ESP proposal, at each rekey'],
    ['Local networks', sheet.localNetworks.length > 0 ? sheet.localNetworks : 'none: its inner addresses alone'],
    [
      'Remote networks',
      knowsAll(sheet) ? sheet.remoteNetworks : [...sheet.remoteNetworks, 'and those of sites that are added later'],
    ],
    ['Inner addresses', [...sheet.addresses, 'assigned by the configuration payload (mode config, virtual IP)']],
    ['Dead peer', `probe after ${deadPeerDelay} s of silence, then connect again`],
    ['MOBIKE', 'yes'],
    ['Fragmentation', 'of IKE messages (RFC 7383): yes'],
    ['Inner MTU', '1280; TCP MSS 1220 over IPv6, 1240 over IPv4, where the router does not find it out'],
  ]
  return rows.flatMap(([label, value]) => lines(label, typeof value === 'string' ? [value] : value)).join('')
}

/** Whoever said where it shall reach has said all. */
export const knowsAll = ({ remoteNetworks, offeredNetworks }: PeerSheet): boolean =>
  offeredNetworks.every((network) => remoteNetworks.includes(network))

const width = 18

const lines = (label: string, values: readonly string[]): string[] =>
  values.map((value, at) => `${(at === 0 ? label : '').padEnd(width)}${value}\n`)
