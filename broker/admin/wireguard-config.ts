/** What a stock peer has to know; all of it public. */
export interface WireguardFacts {
  /** The peer's inner addresses. */
  addresses: readonly string[]
  /** The broker's X25519 public key, 32 bytes. */
  brokerKey: Uint8Array
  /** Inner networks that are reached through the broker. */
  routes: readonly string[]
  /** `HOST:PORT` of UDP. */
  endpoint: string
  /** Bytes. */
  mtu: number
  keepaliveSeconds: number
}

/**
 * The file of wg-quick(8) that joins a stock peer to the fleet; its owner puts the private key, which never leaves the peer, into the
 * line left for it.
 */
export function wireguardConfig(facts: WireguardFacts): string {
  return [
    '[Interface]',
    '# Put the private key of this peer behind the equals sign.',
    'PrivateKey =',
    `Address = ${facts.addresses.map(hostRoute).join(', ')}`,
    `MTU = ${facts.mtu}`,
    '',
    '[Peer]',
    `PublicKey = ${Buffer.from(facts.brokerKey).toString('base64')}`,
    `Endpoint = ${facts.endpoint}`,
    `AllowedIPs = ${facts.routes.join(', ')}`,
    `PersistentKeepalive = ${facts.keepaliveSeconds}`,
    '',
  ].join('\n')
}

const hostRoute = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`
