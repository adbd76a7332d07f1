import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { networkInterfaces } from 'node:os'
import { IPV4_ONLY_NAME, type Nat64View, prefixesIn, WELL_KNOWN_PREFIX, withNat64 } from '#shared/nat/nat64-prefix.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { within } from '#shared/platform/within.ts'
import { seconds } from '#shared/time/instant.ts'
import { type Cidr, isIpv4 } from '#shared/wire/ip-address.ts'

/** What is asked of the machine and its network. */
export interface Nat64Ports {
  /** The IPv6 addresses of ipv4only.arpa; rejects where there are none. */
  ask(): Promise<readonly string[]>
  /** Whether the machine has a route to this IPv4 address. */
  hasWay(address: string): Promise<boolean>
  /** Whether it has an IPv6 address that may lead anywhere. */
  hasIpv6(): boolean
  /** Milliseconds that only grow. */
  now(): number
}

/** A name server that has not answered by then does not: the well-known prefix is tried in its place. */
const PATIENCE = seconds(2)
/** How long an answer is believed, and a silence, ms; a change of the network ends both. */
const BELIEVED_MS = 600_000
const SILENCE_MS = 3_000

/**
 * How this machine's network leads to IPv4 where the machine has no route there: by which NAT64, as the name server shows (RFC 7050). What it says is
 * believed as far as any answer of DNS is: whoever is met there has yet to prove himself.
 */
export class Nat64 {
  readonly #ports: Nat64Ports
  #found: { prefixes: readonly Cidr[]; until: number } | undefined
  #asking: Promise<readonly Cidr[]> | undefined
  #remembered: readonly Cidr[] = []
  #network = 0

  constructor(ports: Nat64Ports = machine) {
    this.#ports = ports
  }

  /** Prefixes that have served before are tried where no name server says which serve here. */
  remember(prefixes: readonly Cidr[]): void {
    this.#remembered = prefixes
  }

  /** The network has changed. */
  forget(): void {
    this.#network++
    this.#found = undefined
    this.#asking = undefined
  }

  /** How `address` (IPv4) is reached; undefined: by IPv4, or not at all. Ends within seconds, and at once where there is a route. */
  async look(address: string): Promise<Nat64View | undefined> {
    const network = this.#network
    const view = (await this.#ports.hasWay(address)) || !this.#ports.hasIpv6() ? undefined : await this.#discovered()
    // The answer of a network that was left is none.
    return network === this.#network ? view : this.look(address)
  }

  /** Literal addresses in the order to try, with the ways that a NAT64 gives beside those of IPv4. */
  async through(addresses: readonly string[]): Promise<readonly string[]> {
    const ipv4 = addresses.find(isIpv4)
    return ipv4 === undefined ? addresses : withNat64(addresses, await this.look(ipv4))
  }

  async #discovered(): Promise<Nat64View> {
    const prefixes = await this.#prefixes()
    if (prefixes.length > 0) return { how: 'discovered', prefixes }
    if (this.#remembered.length > 0) return { how: 'remembered', prefixes: this.#remembered }
    return { how: 'guessed', prefixes: [WELL_KNOWN_PREFIX] }
  }

  async #prefixes(): Promise<readonly Cidr[]> {
    const { now } = this.#ports
    if (this.#found !== undefined && now() < this.#found.until) return this.#found.prefixes
    const network = this.#network
    // A resolver holds a thread for as long as it waits: one question at a time.
    this.#asking ??= this.#ports
      .ask()
      .then(prefixesIn, () => [])
      .then((prefixes) => {
        if (network !== this.#network) return prefixes
        this.#asking = undefined
        this.#found = { prefixes, until: now() + (prefixes.length > 0 ? BELIEVED_MS : SILENCE_MS) }
        return prefixes
      })
    return within(systemTimers, PATIENCE, this.#asking, () => [])
  }
}

const machine: Nat64Ports = {
  ask: async () => (await lookup(IPV4_ONLY_NAME, { all: true, family: 6 })).map(({ address }) => address),
  hasWay,
  hasIpv6: () =>
    Object.values(networkInterfaces()).some((own) =>
      own?.some(({ family, internal, address }) => family === 'IPv6' && !internal && !address.startsWith('fe80')),
    ),
  now: () => performance.now(),
}

/** A connected socket of UDP sends nothing, and the system says whether it knows a route. */
function hasWay(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    const end = (error?: Error): void => {
      socket.close()
      resolve(error === undefined)
    }
    socket.once('error', end)
    // A refusal comes here, whatever the types say.
    socket.connect(9, address, end)
  })
}

/** Of the network that this machine is in. */
export const machineNat64 = new Nat64()
