import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { isLoopbackV4, operatorLoopback } from '#agent/core/operator-loopback.ts'
import type { Service } from '#agent/core/service.ts'
import { joinStreams } from './join-streams.ts'
import { ReadBlocks } from './read-blocks.ts'

/** Of all services, whose sessions seldom speak at once. */
const blocks = new ReadBlocks()

/** A stream of the netstack, as far as a bridge needs it. */
export interface InnerStream extends Duplex {
  readonly remoteAddress: string
  setNoDelay(on?: boolean): unknown
  /** Ends the connection with RST. */
  reset(): unknown
}

export interface ServiceCounters {
  open: number
  accepted: number
  /** The local service refused, or did not answer: the operator got RST. */
  refused: number
  lastRefusal: string | undefined
}

/** Connects operators to one local service: bytes both ways with each side's backpressure, half-close and reset carried over. */
export class LocalService {
  readonly service: Service
  readonly counters: ServiceCounters = { open: 0, accepted: 0, refused: 0, lastRefusal: undefined }
  readonly #streams = new Set<InnerStream>()
  #ownSourceWorks = true

  constructor(service: Service) {
    this.service = service
  }

  accept(inner: InnerStream): void {
    this.#streams.add(inner)
    this.counters.accepted += 1
    this.counters.open += 1
    inner.once('close', () => {
      this.#streams.delete(inner)
      this.counters.open -= 1
    })
    // Until the bridge stands, a reset by the operator must end the attempt and not the process.
    inner.on('error', () => inner.destroy())
    inner.setNoDelay(true)
    this.#connect(inner, this.#sourceFor(inner.remoteAddress))
  }

  /** Not under the fleet key: the operator gets RST, and the service hears nothing. */
  forbid(inner: InnerStream): void {
    this.counters.refused += 1
    this.counters.lastRefusal = 'no grant under the fleet key'
    inner.on('error', () => inner.destroy())
    inner.reset()
  }

  closeWhere(isOver: (from: string) => boolean): void {
    for (const stream of this.#streams) if (isOver(stream.remoteAddress)) stream.reset()
  }

  close(): void {
    for (const stream of this.#streams) stream.reset()
  }

  /** The operator's own loopback address where the service is on IPv4 loopback (DESIGN D14) and this system lets us bind to it. */
  #sourceFor(operator: string): string | undefined {
    if (!this.#ownSourceWorks || !isLoopbackV4(this.service.target.address)) return undefined
    return operatorLoopback(operator)
  }

  #connect(inner: InnerStream, source: string | undefined): void {
    const { address, port } = this.service.target
    const { onread, attach } = blocks.into(inner)
    const outer = connect({
      host: source !== undefined && address === 'localhost' ? '127.0.0.1' : address,
      port,
      allowHalfOpen: true,
      noDelay: true,
      onread,
      ...(source !== undefined && { localAddress: source }),
    })
    attach(outer)
    const failed = (error: NodeJS.ErrnoException): void => {
      outer.destroy()
      if (source !== undefined && error.code === 'EADDRNOTAVAIL') {
        // macOS has 127.0.0.1 alone unless an administrator adds more.
        this.#ownSourceWorks = false
        this.#connect(inner, undefined)
      } else this.#refuse(inner, error)
    }
    outer.once('error', failed)
    outer.once('connect', () => {
      outer.off('error', failed)
      joinStreams(inner, outer)
    })
    inner.once('close', () => outer.destroy())
  }

  #refuse(inner: InnerStream, error: NodeJS.ErrnoException): void {
    this.counters.refused += 1
    this.counters.lastRefusal = error.code ?? error.message
    inner.reset()
  }
}
