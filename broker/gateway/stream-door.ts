import type { DatagramStream, StreamEvents } from '#shared/platform/datagram-stream.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import { classify } from '#shared/wire/demux.ts'
import { type Carrier, carriedBy, type Endpoint, endpointText } from '#shared/wire/endpoint.ts'

export interface StreamLimits {
  /** Connections in all, and from one address (/64 of IPv6): half a thousand devices may share one (P-11). */
  readonly connections: number
  readonly perAddress: number
  /** Of those that have not proven themselves. */
  readonly unproven: number
  readonly unprovenPerAddress: number
  /** Bytes that such a one may send, and ms that it has to show an authentic packet. */
  readonly unprovenBytes: number
  readonly provenWithin: number
}

export const streamLimits: StreamLimits = {
  connections: 16_384,
  perAddress: 1_024,
  unproven: 512,
  unprovenPerAddress: 32,
  unprovenBytes: 48 * 1024,
  provenWithin: seconds(15),
}

const lookEvery = seconds(5)
/** Silence, in ms, after which a WebSocket is asked for a sign of life, and after which a stream is given up. */
const askAfter = seconds(60)
const silentWebsocket = seconds(130)
/** RFC 9329 knows no question; the gateway asks by IKE, and TCP by its keepalive. */
const silentTcp = seconds(600)
/** Streams that have ended and are still spoken of by their peer's address. */
const remembered = 4_096

type Streaming = Extract<Carrier, 'websocket' | 'tcp'>

interface Entry {
  readonly carrier: Streaming
  readonly endpoint: Endpoint
  readonly peer: Endpoint
  /** What the caps of one address count by. */
  readonly source: string
  readonly since: Instant
  stream: DatagramStream
  proven: boolean
  bytes: number
  heard: Instant
  asked: boolean
}

export interface StreamDoorOptions {
  clock: Pick<Clock, 'now'>
  timers: Timers
  /** One datagram; returns 0 or a negative DropReason. It belongs to the callee. */
  receive(datagram: Uint8Array, from: Endpoint): number
  limits?: Partial<StreamLimits>
}

/** Whole numbers since the start; `open` and `unproven` at this moment. */
interface StreamCounters {
  open: number
  unproven: number
  accepted: number
  refused: number
  /** Closed because they showed no authentic packet in time, or sent too much before. */
  unfounded: number
  /** Datagrams that a slow or vanished stream did not take. */
  dropped: number
}

/**
 * Where datagrams come in that ride a stream: WebSockets (DESIGN D8) and TCP (RFC 9329). Each stream is an endpoint of its own to the rest
 * of the gateway. Who they are the suites inside find out; until then a stream has little room and little time.
 */
export class StreamDoor {
  readonly #options: StreamDoorOptions
  readonly #limits: StreamLimits
  readonly #entries = new Map<string, Entry>()
  /** Those of them that have not proven themselves, oldest first. */
  readonly #unproven = new Set<Entry>()
  readonly #perAddress = new Map<string, { all: number; unproven: number }>()
  readonly #ended = new Map<string, { carrier: Streaming; peer: Endpoint }>()
  readonly #counts = { accepted: 0, refused: 0, unfounded: 0, dropped: 0 }
  #timer: Timer | undefined
  #next = 1
  #closed = false

  constructor(options: StreamDoorOptions) {
    this.#options = options
    this.#limits = { ...streamLimits, ...options.limits }
  }

  get counters(): StreamCounters {
    return { open: this.#entries.size, unproven: this.#unproven.size, ...this.#counts }
  }

  /** Whether one more may come from there; to be asked before anything is spent on it. A refusal is counted. */
  admits(address: string): boolean {
    // Behind a server of this machine that passes streams on, all of them come from here.
    const from = isLoopback(address) ? undefined : this.#perAddress.get(sourceOf(address))
    const { connections, perAddress, unprovenPerAddress } = this.#limits
    const full =
      this.#closed ||
      this.#entries.size >= connections ||
      (from && (from.all >= perAddress || from.unproven >= unprovenPerAddress))
    if (full) this.#counts.refused++
    return !full
  }

  /** Takes in a stream that `admits` let in: `make` binds it to what it tells. */
  enter(carrier: Streaming, peer: Endpoint, make: (events: StreamEvents) => DatagramStream): void {
    const now = this.#options.clock.now()
    const endpoint = carriedBy(carrier, this.#next++)
    const entry: Entry = {
      carrier,
      endpoint,
      peer,
      source: sourceOf(peer.address),
      since: now,
      stream: none,
      proven: false,
      bytes: 0,
      heard: now,
      asked: false,
    }
    this.#counts.accepted++
    this.#entries.set(endpoint.address, entry)
    this.#count(entry, 1)
    entry.stream = make({
      datagram: (datagram) => this.#received(entry, datagram),
      alive: () => this.#heard(entry),
      closed: () => this.#left(entry),
    })
    this.#makeRoom()
    this.#timer ??= this.#options.timers.setTimer(lookEvery, () => this.#look())
  }

  /** Sends to a carried endpoint; false where its stream is gone or slow (counted). */
  send(datagram: Uint8Array, to: Endpoint): boolean {
    const taken = this.#entries.get(to.address)?.stream.send(datagram) ?? false
    if (!taken) this.#counts.dropped++
    return taken
  }

  /** An authentic packet has come from there: the stream may stay. */
  proven(endpoint: Endpoint): void {
    const entry = this.#entries.get(endpoint.address)
    if (entry === undefined || entry.proven) return
    this.#count(entry, -1)
    entry.proven = true
    this.#count(entry, 1)
  }

  /** The far end of the stream's connection: what the peer is seen as. */
  peerOf({ address }: Endpoint): Endpoint | undefined {
    return (this.#entries.get(address) ?? this.#ended.get(address))?.peer
  }

  /** For people: `websocket from 192.0.2.7`, and what `endpointText` says of all other endpoints. */
  describe(endpoint: Endpoint): string {
    const known = this.#entries.get(endpoint.address) ?? this.#ended.get(endpoint.address)
    return known ? `${known.carrier} from ${known.peer.address}` : endpointText(endpoint)
  }

  /** Ends every stream; others may come. */
  closeAll(why: string): void {
    for (const { stream } of this.#entries.values()) stream.close(why)
  }

  /** Ends every stream, and takes none any more. */
  close(): void {
    this.#closed = true
    this.#timer?.clear()
    this.closeAll('the broker stops')
  }

  #received(entry: Entry, datagram: Uint8Array): void {
    this.#heard(entry)
    if (!entry.proven) {
      entry.bytes += datagram.length
      if (entry.bytes > this.#limits.unprovenBytes) {
        this.#reject(entry, 'too many bytes without an authentic packet')
        return
      }
    }
    // The rest of the broker may keep what it is told of an endpoint.
    const result = this.#options.receive(datagram, entry.endpoint)
    // Handshakes prove themselves by the session that they lead to (`proven`); a replayed first message does not.
    if (!entry.proven && result >= 0 && isData(datagram)) this.proven(entry.endpoint)
  }

  #heard(entry: Entry): void {
    entry.heard = this.#options.clock.now()
    entry.asked = false
  }

  #left(entry: Entry): void {
    if (!this.#entries.delete(entry.endpoint.address)) return
    this.#count(entry, -1)
    if (!entry.proven) return
    this.#ended.set(entry.endpoint.address, { carrier: entry.carrier, peer: entry.peer })
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= remembered) break
      this.#ended.delete(oldest)
    }
  }

  #reject(entry: Entry, why: string): void {
    this.#counts.unfounded++
    this.#left(entry)
    entry.stream.close(why)
  }

  /** Strangers make room for strangers: the one that has been undecided for longest goes. */
  #makeRoom(): void {
    if (this.#unproven.size <= this.#limits.unproven) return
    const [oldest] = this.#unproven
    if (oldest) this.#reject(oldest, 'no room')
  }

  #look(): void {
    const now = this.#options.clock.now()
    for (const entry of this.#unproven) {
      if (elapsed(entry.since, now) < this.#limits.provenWithin) break
      this.#reject(entry, 'no authentic packet in time')
    }
    for (const entry of this.#entries.values()) {
      const silence = elapsed(entry.heard, now)
      if (silence >= (entry.carrier === 'tcp' ? silentTcp : silentWebsocket)) entry.stream.close('silent')
      else if (silence >= askAfter && !entry.asked) {
        entry.asked = true
        entry.stream.ping()
      }
    }
    this.#timer =
      this.#entries.size > 0 && !this.#closed ? this.#options.timers.setTimer(lookEvery, () => this.#look()) : undefined
  }

  #count(entry: Entry, by: 1 | -1): void {
    const counts = this.#perAddress.get(entry.source) ?? { all: 0, unproven: 0 }
    counts.all += by
    if (!entry.proven) {
      counts.unproven += by
      if (by > 0) this.#unproven.add(entry)
      else this.#unproven.delete(entry)
    }
    if (counts.all === 0) this.#perAddress.delete(entry.source)
    else this.#perAddress.set(entry.source, counts)
  }
}

const none: DatagramStream = { send: () => false, ping() {}, close() {} }

function isData(datagram: Uint8Array): boolean {
  const kind = classify(datagram)
  return kind === 'wireguard-data' || kind === 'esp'
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')

/** Whoever has one address of IPv6 has 2^64. */
function sourceOf(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('%', 1)[0]!.split('::', 2)
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const words =
    tail === undefined ? left : [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right]
  return words.slice(0, 4).join(':')
}
