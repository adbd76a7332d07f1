import { z } from 'zod'
import type { IssuedCertificate } from '#broker/identity/issuance.ts'
import type { NewIpsecPeer } from '#broker/registry/ipsec-peers.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type PublicKey, parsePublicKey } from '#shared/pki/public-key.ts'
import { verifyStockRequest } from '#shared/pki/request.ts'
import { formatCidr, overlaps, parseCidr } from '#shared/wire/ip-address.ts'
import { peerFiles } from '../ipsec/peer-files.ts'
import { makeSecret, type PeerSecret, readSecret } from '../ipsec/peer-secret.ts'
import type { PeerSheet } from '../ipsec/peer-sheet.ts'
import { peerSuites } from '../ipsec/peer-suites.ts'
import type { Extent, Office } from '../office.ts'
import { labels, milliseconds, type Operation, operation } from '../operation.ts'
import { document } from '../principal-document.ts'

/** Made by us, or given as text. */
const secret = z.union([z.literal('generate'), z.strictObject({ text: z.string() })])

const ipsecPeer = z.strictObject({
  name: z.string(),
  /** PKCS#10 in PEM; the peer has a certificate. */
  request: z
    .string()
    .max(64 * 1_024)
    .optional(),
  psk: secret.optional(),
  ppk: secret.optional(),
  /** The IKE identity of a PSK peer. */
  identity: z.string().optional(),
  subnets: labels,
  /** Networks that it sends into the tunnel, beside the fleet's. */
  reach: labels,
  suites: labels,
  esp: labels,
  tags: labels,
  /** `HOST[:PORT]` of the broker. */
  endpoint: z.string().optional(),
  days: z.int().min(1).max(3_650).default(365),
  /** Span in ms from now, for a PSK peer. */
  lasting: milliseconds.optional(),
})

type Wanted = z.output<typeof ipsecPeer>

/** `device.add-ipsec`: registers a stock IPsec peer; the answer has every file of its folder but the private key. */
export const addIpsecPeer: Operation = operation(ipsecPeer, async (office, wanted) => {
  const { registry, clock, actor, authority, config } = office
  if (!config.ipsec.enabled) {
    throw new AditError(
      'config-invalid',
      'IPsec is switched off here.',
      'Set enabled = true under [ipsec] in config.toml, and restart the broker.',
    )
  }
  const name = checkName(wanted.name)
  const psk = wanted.psk && secretOf('pre-shared key', wanted.psk, office)
  const ppk = wanted.ppk && { id: `adit-${name}`, secret: secretOf('postquantum pre-shared key', wanted.ppk, office) }
  const broker = await brokerPlace(office, wanted.endpoint)
  const reach = wanted.reach.map(network)
  const suites = peerSuites(wanted.suites, wanted.esp, config.ipsec)
  const issued = psk === undefined ? await certify(office, name, wanted) : undefined
  const peer: NewIpsecPeer = {
    name,
    proof: issued ? { certificate: issued } : { psk: (psk as PeerSecret).bytes },
    ...(wanted.identity !== undefined && { identity: wanted.identity }),
    ...(ppk && { ppk: { id: ppk.id, key: ppk.secret.bytes } }),
    subnets: wanted.subnets,
    ikeProposals: suites.ike,
    espProposals: suites.esp,
    tags: wanted.tags,
    ...(wanted.lasting !== undefined && { expiresAt: clock.wall() + wanted.lasting }),
  }
  const device = await registry.ipsecPeers.add(peer, actor)
  const sheet: PeerSheet = {
    name: device.name,
    brokerHost: broker.host,
    brokerPort: broker.port,
    brokerId: authority.ike.id,
    peerId: device.ipsec?.identity ?? device.name,
    proof: issued ? { kind: 'certificate', key: keyKindOf(issued) } : { kind: 'psk', secret: (psk as PeerSecret).text },
    ...(ppk && { ppk: { id: ppk.id, secret: ppk.secret.text } }),
    ikeProposals: suites.offeredIke,
    espProposals: suites.offeredEsp,
    addresses: device.addresses,
    localNetworks: device.subnets,
    ...remoteNetworks(office, device, reach),
  }
  const [issuer, root] = authority.chainOf('device') as [Uint8Array, Uint8Array]
  const [server] = authority.chainOf('api') as [Uint8Array]
  return {
    ...document(device, clock.wall()),
    broker: { host: broker.host, port: broker.port, id: sheet.brokerId },
    extent: broker.extent,
    files: peerFiles(sheet, { leaf: issued?.der, issuer, server, root }),
  }
})

const keyKindOf = ({ der }: IssuedCertificate): PublicKey['kind'] => parsePublicKey(parseCertificate(der).spki).kind

function secretOf(what: string, given: z.output<typeof secret>, { suite }: Office): PeerSecret {
  return given === 'generate' ? makeSecret(suite) : readSecret(what, given.text)
}

/** RFC 1918: where the networks of sites mostly are. */
const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']

async function certify({ authority }: Office, name: string, { request, days, identity }: Wanted): Promise<IssuedCertificate> {
  if (identity !== undefined) {
    throw new AditError(
      'usage',
      'A peer with a certificate has the identity that stands in it.',
      'Leave --ike-id out, or give it a --psk.',
    )
  }
  if (request === undefined)
    throw new AditError('usage', 'There is neither a request nor a pre-shared key.', 'Give --csr or --psk.')
  try {
    const [der, ...others] = decodePem('(?:NEW )?CERTIFICATE REQUEST', request)
    if (der === undefined || others.length > 0) throw new PkiError('request-malformed', 'it is not one request in PEM')
    const { spki } = verifyStockRequest(der)
    return await authority.issue({ role: 'device', name, spki, days, ipsec: true })
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    const mend = 'Make a key of P-256, P-384, Ed25519 or RSA from 2048 bits, and a PKCS#10 request signed by it, in PEM.'
    throw new AditError('request-refused', `The request is refused: ${error.message}.`, mend, { cause: error })
  }
}

interface BrokerPlace {
  readonly host: string
  readonly port: number
  readonly extent: Extent
}

/** `endpoint`, which is taken at its word, or the first place at which the broker is reached. */
async function brokerPlace({ reach }: Office, endpoint: string | undefined): Promise<BrokerPlace> {
  const { endpoints, extent } = await reach()
  const [known] = endpoints
  const wanted = endpoint ?? known
  if (wanted === undefined) {
    const message = 'It is not known where the broker will listen, since its port is 0 and none runs.'
    throw new AditError('broker-not-running', message, 'Start the broker first, or say --endpoint HOST:PORT.')
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::([1-9]\d{0,4}))?$/.exec(wanted)
  const port = Number(match?.[3] ?? known?.slice(known.lastIndexOf(':') + 1) ?? 4_500)
  const host = match?.[1] ?? match?.[2]
  if (host !== undefined && port <= 65_535) return { host, port, extent: endpoint === undefined ? extent.endpoints : 'anywhere' }
  throw new AditError(
    'usage',
    '--endpoint is no HOST or HOST:PORT.',
    'Write broker.example.net:4500, 203.0.113.7 or [2001:db8::7]:4500.',
  )
}

function network(text: string): string {
  try {
    return formatCidr(parseCidr(text))
  } catch {
    throw new AditError('usage', '--reach is no network.', 'Write address and prefix length, as in 192.168.2.0/24.')
  }
}

/**
 * What lies beyond the broker: the fleet, and `reach` or the networks of all other sites. A site offers every private network instead: the
 * broker narrows that to the sites that there are, and one that is added later needs no change at this one.
 */
function remoteNetworks(
  { registry }: Office,
  device: Principal,
  reach: readonly string[],
): Pick<PeerSheet, 'remoteNetworks' | 'offeredNetworks'> {
  const { routes } = registry.fleet
  const others = [...registry.directory.sites()].filter(({ id }) => id !== device.id).flatMap(({ subnets }) => subnets)
  const known = [...routes, ...(reach.length > 0 ? reach : others)]
  if (reach.length > 0 || device.subnets.length === 0) return { remoteNetworks: known, offeredNetworks: known }
  const beside = others.filter((subnet) => !privateNetworks.some((network) => overlaps(parseCidr(network), parseCidr(subnet))))
  return { remoteNetworks: known, offeredNetworks: [...routes, ...privateNetworks, ...beside] }
}
