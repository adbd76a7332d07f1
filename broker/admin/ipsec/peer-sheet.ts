import type { PublicKey } from '#shared/pki/public-key.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'

/** Everything that a stock IPsec peer has to be told: what the files of its folder are made of. */
export interface PeerSheet {
  /** Name of the device. */
  readonly name: string
  /** Host name or literal address of the broker, without brackets, and its UDP port. */
  readonly brokerHost: string
  readonly brokerPort: number
  /** The identity that the broker proves: a host name, an address, or `CN=…`. */
  readonly brokerId: string
  /** The identity that the peer claims, likewise. */
  readonly peerId: string
  /** How both prove themselves: certificates of the fleet's CA, the peer's of a key of that kind, or one secret. */
  readonly proof:
    | { readonly kind: 'certificate'; readonly key: PublicKey['kind'] }
    | { readonly kind: 'psk'; readonly secret: SecretText }
  /** Postquantum pre-shared key (RFC 8784). */
  readonly ppk?: { readonly id: string; readonly secret: SecretText }
  /** What the peer offers, in order of preference, each with one transform of a type. */
  readonly ikeProposals: readonly Proposal[]
  readonly espProposals: readonly Proposal[]
  /** The peer's inner addresses: IPv6, then IPv4 where it has one. */
  readonly addresses: readonly string[]
  /** Networks behind the peer. */
  readonly localNetworks: readonly string[]
  /** What it sends into the tunnel: the fleet, and the networks behind other peers that are known. */
  readonly remoteNetworks: readonly string[]
  /** What it offers to send there where the broker may narrow it: those, and where further sites are likely to be. */
  readonly offeredNetworks: readonly string[]
}

/** A secret as people type it: printable text without quotes, or `0x` and hex. */
export type SecretText = string

/** How long a Child SA and an IKE SA live before they are renewed, and how long silence lasts before it is looked into; seconds. */
export const childLifetime = 3_600
export const ikeLifetime = 14_400
export const deadPeerDelay = 30

export const isIpv6 = (network: string): boolean => network.includes(':')

/** Names of the files in the folder. */
export const files = {
  privateKey: 'private/adit.key',
  certificate: 'x509/adit.crt',
  root: 'x509ca/adit-root.crt',
  issuer: 'x509ca/adit-device-ca.crt',
  server: 'x509ca/adit-broker-ca.crt',
  swanctl: 'swanctl.conf',
  libreswan: 'ipsec.conf',
  libreswanSecrets: 'ipsec.secrets',
  parameters: 'parameters.txt',
} as const
