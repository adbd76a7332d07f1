import { toHex } from '#shared/bytes/hex.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { idText, parseId } from '#shared/ikev2/identity.ts'
import { defaultIkeSettings, type IkeSettings } from '#shared/ikev2/ike-context.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { ChildPolicy, IkeOwner, Lifetime } from '#shared/ikev2/peer-policy.ts'
import { parseProposals } from '#shared/ikev2/proposal.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type Instant, wallTime } from '#shared/time/instant.ts'
import type { Endpoint, TunnelEvent } from '#shared/tunnel/association.ts'
import type { EspAssociation } from '#shared/tunnel/esp-association.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspEndpointOptions, EspPeerOptions } from '#shared/tunnel/esp-options.ts'
import { classify } from '#shared/wire/demux.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import { selector } from './esp-pair.ts'
import { type Host, seededSuite, VirtualNetwork } from './virtual-link.ts'

const secret = new Uint8Array(32).fill(0x5a)
const text = new TextEncoder()

export interface EspNodeOptions {
  readonly settings?: Partial<IkeSettings>
  readonly lifetime?: Partial<Lifetime>
  readonly esp?: readonly string[]
  readonly ike?: readonly string[]
  /** Whether a peer of that name may come in. */
  readonly admits?: (name: string) => boolean
  readonly endpoint?: Partial<EspEndpointOptions>
  /** Inner addresses; default: one made of the name. */
  readonly inner?: string
}

/** A name is an identity, one letter of which is an inner address of its own. */
export const innerOfName = (name: string): string => `fd00::${name.charCodeAt(0).toString(16)}`
export const peerKeyOf = (name: string): string => toHex(text.encode(name)).padEnd(64, '0')

/** One esp endpoint on a virtual network, known by a name and a secret that all share. */
export class EspNode implements Host {
  readonly network: VirtualNetwork
  readonly name: string
  readonly endpoint: EspEndpoint
  readonly events: TunnelEvent[] = []
  readonly failures: NegotiationFailure[] = []
  readonly received: { packet: Uint8Array; at: Instant; association: EspAssociation }[] = []
  /** The verdict on each datagram that came. */
  readonly verdicts: number[] = []
  address: Endpoint
  readonly #options: EspNodeOptions

  constructor(network: VirtualNetwork, name: string, address: Endpoint, options: EspNodeOptions = {}) {
    this.network = network
    this.name = name
    this.address = address
    this.#options = options
    this.endpoint = new EspEndpoint({
      suite: seededSuite(address.port * 1_000 + name.charCodeAt(0)),
      ike: {
        owner: this.#owner(),
        localIds: [parseId(name)],
        credential: { kind: 'psk', secret },
        authorities: [],
        proposals: parseProposals(options.ike ?? ['aes256gcm16-prfsha256-x25519'], ProtocolId.Ike),
        ticketKeys: [],
        settings: { ...defaultIkeSettings, ...options.settings },
        wall: () => wallTime(1_700_000_000_000 + network.now),
      },
      ports: {
        transmit: (datagram, to) => network.send(datagram, this.address, to),
        event: (event) => this.events.push(event),
      },
      onFailure: (failure) => this.failures.push(failure),
      ...options.endpoint,
    })
    network.add(this)
  }

  get now(): Instant {
    return this.network.now
  }

  /** What this node asks of another. */
  child(other: EspNode): ChildPolicy {
    return this.#childWith(other.name)
  }

  peer(other: EspNode, options: Partial<EspPeerOptions> = {}): EspAssociation {
    const initiation = { expectedId: parseId(other.name), child: this.child(other) }
    return this.endpoint.addPeer({ peerKey: peerKeyOf(other.name), endpoint: other.address, initiation, ...options }, this.now)
  }

  to(other: EspNode): EspAssociation {
    return this.endpoint.association(peerKeyOf(other.name))!
  }

  /** Seals a packet from our inner address to the other's and sends it; returns the verdict of `seal`. */
  send(other: EspNode, mark = 0, packet: Uint8Array = packetBetween(this.name, other.name, mark)): number {
    const out = new Uint8Array(2_048)
    const association = this.to(other)
    const size = association.seal(packet, packet.length, out, this.now)
    if (size > 0) this.network.send(out.subarray(0, size), this.address, association.endpoint!)
    return size
  }

  receive(datagram: Uint8Array, from: Endpoint): number {
    const verdict = this.#receive(datagram, from)
    this.verdicts.push(verdict)
    return verdict
  }

  count(kind: TunnelEvent['kind']): number {
    return this.events.filter((event) => event.kind === kind).length
  }

  #receive(datagram: Uint8Array, from: Endpoint): number {
    if (classify(datagram) === 'ike') return this.endpoint.handleControl(datagram, from, this.now)
    if (classify(datagram) !== 'esp') return -1
    const out = new Uint8Array(datagram.length)
    const length = this.endpoint.open(datagram, from, out, this.now)
    if (length > 0) this.received.push({ packet: out.slice(0, length), at: this.now, association: this.endpoint.opened! })
    return length
  }

  #childWith(name: string): ChildPolicy {
    return {
      proposals: parseProposals(this.#options.esp ?? ['aes256gcm16-x25519-esn-noesn'], ProtocolId.Esp),
      localSelectors: [selector(`${innerOfName(this.name)}/128`)],
      remoteSelectors: [selector(`${innerOfName(name)}/128`)],
      lifetime: { ...defaultChildLifetime, ...this.#options.lifetime },
    }
  }

  #owner(): IkeOwner {
    return {
      judge: () => {
        throw new PkiError('issuer-unknown', 'nobody is trusted by certificate here')
      },
      preSharedKey: () => secret,
      ppk: () => undefined,
      admit: ({ id }) => {
        const name = idText(id)
        if (this.#options.admits?.(name) === false) return { refused: `${name} is not known`, mendHere: '', mendThere: '' }
        return { peerKey: peerKeyOf(name), name, child: this.#childWith(name), virtualAddresses: [], dns: [] }
      },
    }
  }
}

/** An IPv6 packet of no protocol between the inner addresses of two names; its first payload bytes are `mark`. */
export function packetBetween(from: string, to: string, mark = 0, length = 64): Uint8Array {
  const packet = new Uint8Array(length)
  packet.set([0x60, 0, 0, 0, (length - 40) >> 8, (length - 40) & 0xff, 59, 64])
  packet.set([0xfd], 8)
  packet[23] = from.charCodeAt(0)
  packet.set([0xfd], 24)
  packet[39] = to.charCodeAt(0)
  new DataView(packet.buffer).setUint32(40, mark)
  return packet
}

export const markOf = (packet: Uint8Array): number => new DataView(packet.buffer, packet.byteOffset).getUint32(40)

export const ALICE: Endpoint = { address: '192.0.2.1', port: 1001 }
export const BOB: Endpoint = { address: '198.51.100.2', port: 4500 }

export function espNodes(seed = 1, alice: EspNodeOptions = {}, bob: EspNodeOptions = {}) {
  const network = new VirtualNetwork(seed)
  return {
    network,
    alice: new EspNode(network, 'alice.example', ALICE, alice),
    bob: new EspNode(network, 'bob.example', BOB, bob),
  }
}

/** With an association that Alice began. */
export function espConnected(seed = 1, alice: EspNodeOptions = {}, bob: EspNodeOptions = {}) {
  const made = espNodes(seed, alice, bob)
  made.alice.peer(made.bob, { firstContact: true })
  if (!made.network.run(5_000, () => made.alice.to(made.bob).state === 'established')) throw new Error('no association came up')
  made.network.run(200)
  return made
}
