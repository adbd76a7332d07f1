import { type InnerAddress, standsAt } from '#shared/netstack/inner-address.ts'

/** What the table holds: a connection, or its TIME-WAIT record. */
export interface FlowEntry {
  readonly local: InnerAddress
  readonly localPort: number
  readonly remote: Uint8Array
  readonly remotePort: number
  readonly hash: number
  /** The next entry of the same hash; the table's own. */
  chained: FlowEntry | undefined
}

/**
 * Entries by four-tuple. Looking up makes no object: the tuple's hash is the key, entries of one hash are chained. The hash is seeded, so that
 * a peer cannot choose ports that make long chains.
 */
export class ConnectionTable<E extends FlowEntry> {
  readonly #seed: number
  readonly #chains = new Map<number, E>()
  size = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  /** Over the local port, the remote port, and the remote address at `packet[at..at + length]`. Local addresses are few. */
  hash(localPort: number, remotePort: number, packet: Uint8Array, at: number, length: number): number {
    let h = Math.imul(this.#seed ^ ((localPort << 16) | remotePort), 0x9e37_79b1)
    for (let i = at; i < at + length; i += 4) {
      const word = packet[i]! | (packet[i + 1]! << 8) | (packet[i + 2]! << 16) | (packet[i + 3]! << 24)
      h = Math.imul((h ^ word) + (h >>> 15), 0x85eb_ca6b) ^ this.#seed
      h ^= h >>> 13
    }
    return h | 0
  }

  /** The entry of a packet: addresses of `length` bytes at `packet[local..]` and `packet[remote..]`. */
  find(
    hash: number,
    packet: Uint8Array,
    local: number,
    remote: number,
    length: number,
    localPort: number,
    remotePort: number,
  ): E | undefined {
    for (let entry = this.#chains.get(hash); entry !== undefined; entry = entry.chained as E | undefined) {
      if (
        entry.remotePort === remotePort &&
        entry.localPort === localPort &&
        entry.remote.length === length &&
        standsAt(entry.remote, packet, remote) &&
        standsAt(entry.local.bytes, packet, local)
      ) {
        return entry
      }
    }
    return undefined
  }

  add(entry: E): void {
    entry.chained = this.#chains.get(entry.hash)
    this.#chains.set(entry.hash, entry)
    this.size++
  }

  delete(entry: E): void {
    let at = this.#chains.get(entry.hash)
    if (at === entry) {
      if (entry.chained === undefined) this.#chains.delete(entry.hash)
      else this.#chains.set(entry.hash, entry.chained as E)
    } else {
      while (at !== undefined && at.chained !== entry) at = at.chained as E | undefined
      if (at === undefined) return
      at.chained = entry.chained
    }
    entry.chained = undefined
    this.size--
  }

  *values(): Iterable<E> {
    for (const head of [...this.#chains.values()]) {
      for (let entry: E | undefined = head; entry !== undefined; ) {
        const next = entry.chained as E | undefined
        yield entry
        entry = next
      }
    }
  }
}
