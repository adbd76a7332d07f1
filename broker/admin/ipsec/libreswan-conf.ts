import { Encryption, Integrity, KeyExchangeMethod, Prf, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'
import { knowsAll } from './parameter-sheet.ts'
import { childLifetime, deadPeerDelay, files, ikeLifetime, isIpv6, type PeerSheet } from './peer-sheet.ts'

/**
 * ipsec.conf(5) of libreswan. Its certificates live in an NSS database, so that the folder has to be imported first; each family of
 * addresses is a connection of its own, since libreswan makes one for every pair of networks.
 */
export function libreswanConf(sheet: PeerSheet): string {
  const families = [false, true].filter((six) => remoteOf(sheet, six).length > 0 && hasLocal(sheet, six))
  return [
    `# ${sheet.name}: libreswan 4 joins the fleet by this file, put into /etc/ipsec.d.`,
    ...(sheet.proof.kind === 'certificate'
      ? sheet.proof.key === 'ed25519'
        ? [...noEd25519, ...importing]
        : importing
      : ['# Its secret is in ipsec.secrets, which goes into /etc/ipsec.d too.']),
    ...families.flatMap((six, at) => [
      '',
      `conn ${at === 0 ? 'adit' : 'adit6'}`,
      ...connection(sheet, six).map((line) => `    ${line}`),
    ]),
    '',
  ].join('\n')
}

/** ipsec.secrets(5); undefined where certificates do without. */
export function libreswanSecrets({ proof, ppk, peerId, brokerId }: PeerSheet): string | undefined {
  const pair = `${idText(peerId)} ${idText(brokerId)}`
  const lines = [
    ...(proof.kind === 'psk' ? [`${pair} : PSK ${secret(proof.secret)}`] : []),
    ...(ppk ? [`${pair} : PPKS "${ppk.id}" ${secret(ppk.secret)}`] : []),
  ]
  return lines.length === 0 ? undefined : `${lines.join('\n')}\n`
}

const noEd25519 = [
  '# libreswan 4 has no signatures of Ed25519, the kind of this key: add the peer anew with --key-type p256, or a request of such a key.',
]

const importing = [
  '# First, once, in this folder:',
  `#   openssl pkcs12 -export -name adit -in ${files.certificate} -inkey ${files.privateKey} \\`,
  `#     -certfile ${files.issuer} -out adit.p12 -passout pass: && ipsec import adit.p12 && rm adit.p12`,
  `#   certutil -A -d sql:/var/lib/ipsec/nss -n adit-root -t CT,, -a -i ${files.root}`,
  `#   certutil -A -d sql:/var/lib/ipsec/nss -n adit-broker-ca -t ,, -a -i ${files.server}`,
]

function connection(sheet: PeerSheet, six: boolean): string[] {
  const own = sheet.localNetworks.filter((network) => isIpv6(network) === six)
  return [
    'ikev2=insist',
    'left=%defaultroute',
    ...(own.length > 0
      ? [`leftsubnets={${own.join(',')}}`]
      : ['leftmodecfgclient=yes', `leftsubnet=${six ? '::/0' : '0.0.0.0/0'}`]),
    `right=${sheet.brokerHost}`,
    `rightikeport=${sheet.brokerPort}`,
    ...(knowsAll(sheet)
      ? []
      : ['# The networks of sites that are added later belong in here too: --reach names them beforehand.']),
    `rightsubnets={${remoteOf(sheet, six).join(',')}}`,
    ...authentication(sheet),
    `ike=${sheet.ikeProposals.map((one) => libreswanProposal(one, ProtocolId.Ike)).join(',')}`,
    `esp=${sheet.espProposals.map((one) => libreswanProposal(one, ProtocolId.Esp)).join(',')}`,
    `pfs=${sheet.espProposals.some(hasKeyExchange) ? 'yes' : 'no'}`,
    `salifetime=${childLifetime}s`,
    `ikelifetime=${ikeLifetime}s`,
    'encapsulation=yes',
    'mobike=yes',
    'fragmentation=yes',
    `dpddelay=${deadPeerDelay}`,
    'dpdaction=restart',
    '# The broker narrows what is asked for to what it routes.',
    'narrowing=yes',
    ...(sheet.ppk ? ['ppk=insist'] : []),
    'auto=start',
  ]
}

/** It signs by the first that it finds here, whatever its key is; the broker's own proof is ECDSA. */
const signatures = { p256: 'ecdsa', p384: 'ecdsa', ed25519: 'ecdsa', rsa: 'rsasig,ecdsa' } as const

const authentication = ({ proof, peerId, brokerId }: PeerSheet): string[] =>
  proof.kind === 'certificate'
    ? [
        `authby=${signatures[proof.key]}`,
        'leftcert=adit',
        'leftid=%fromcert',
        'leftsendcert=always',
        `rightid="${brokerId}"`,
        'rightca=%any',
      ]
    : ['authby=secret', `leftid=${idText(peerId)}`, `rightid=${idText(brokerId)}`]

const remoteOf = (sheet: PeerSheet, six: boolean): string[] => sheet.remoteNetworks.filter((network) => isIpv6(network) === six)

/** A road warrior has addresses of the fleet; a site sends for its networks alone. */
const hasLocal = ({ localNetworks, addresses }: PeerSheet, six: boolean): boolean =>
  (localNetworks.length > 0 ? localNetworks : addresses).some((network) => isIpv6(network) === six)

/** `@host`, an address as it is, or a distinguished name in quotes. */
const idText = (id: string): string => (id.includes('=') ? `"${id}"` : /^[0-9.]+$|:|@/.test(id) ? id : `@${id}`)

const secret = (text: string): string => (text.startsWith('0x') ? text : `"${text}"`)

const ciphers: Record<number, string> = {
  [Encryption.AesCbc]: 'aes',
  [Encryption.AesGcm16]: 'aes_gcm',
  [Encryption.ChaCha20Poly1305]: 'chacha20_poly1305',
  [Encryption.NullAuthAesGmac]: 'null_auth_aes_gmac',
  [Encryption.Null]: 'null',
}
const hashes: Record<number, string> = {
  [Prf.HmacSha256]: 'sha2_256',
  [Prf.HmacSha384]: 'sha2_384',
  [Prf.HmacSha512]: 'sha2_512',
}
const macs: Record<number, string> = {
  [Integrity.HmacSha256_128]: 'sha2_256',
  [Integrity.HmacSha384_192]: 'sha2_384',
  [Integrity.HmacSha512_256]: 'sha2_512',
}

/** `cipher-hash;group`: with a combined-mode cipher the hash is the PRF, and in ESP none. Every transform that we know has a name there. */
function libreswanProposal({ transforms }: Proposal, protocol: number): string {
  const of = (type: number): Transform | undefined => transforms.find((one) => one.type === type)
  const cipher = of(TransformType.Encryption)
  const integrity = of(TransformType.Integrity)
  const mac =
    (integrity && macs[integrity.id]) ?? (protocol === ProtocolId.Ike ? hashes[of(TransformType.Prf)?.id ?? 0] : undefined)
  const group = of(TransformType.KeyExchange)
  const size = cipher?.id === Encryption.ChaCha20Poly1305 ? '' : (cipher?.keyLength ?? '')
  return `${ciphers[cipher?.id ?? 0]}${size}-${mac ?? 'none'}${group && hasGroup(group) ? `-dh${group.id}` : ''}`
}

const hasGroup = ({ id }: Transform): boolean => id !== KeyExchangeMethod.None
const hasKeyExchange = ({ transforms }: Proposal): boolean =>
  transforms.some((one) => one.type === TransformType.KeyExchange && hasGroup(one))
