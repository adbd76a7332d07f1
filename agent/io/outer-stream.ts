import type { DatagramStream } from '#shared/platform/datagram-stream.ts'
import type { HttpProxy } from '#shared/platform/tcp-proxy.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { type Clock, type Duration, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { classify } from '#shared/wire/demux.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { type Attempt, attemptStream, type StreamSurroundings } from './outer-connect.ts'
import type { Finding } from './outer-finding.ts'
import { probePortal } from './outer-portal.ts'

/** A stream to which nothing was sent for so long, and which is not the tunnel's path, is let go. */
const LET_GO_AFTER = seconds(60)
const LOOK_EVERY = seconds(2)
/** Silent for so long after something that deserves an answer, it is asked; silent so long after that, it is cut and made anew. */
const ASK_AFTER = seconds(5)
const CUT_AFTER = seconds(5)
/** Datagrams that wait for a stream to open: the newest ones; a handshake and a little more. */
const WAITING_LIMIT = 32
/** A portal is looked at so often, whether it is still there, and the whole way tried at least so often. */
const PORTAL_LOOK_EVERY = seconds(4)
const PORTAL_RETRY_EVERY = seconds(30)

export interface StreamPorts {
  datagram(datagram: Uint8Array, from: Endpoint): void
  /** It is open again after a cut: the far end knows it by another name and has to be told. */
  reopened(endpoint: Endpoint): void
  /** A captive portal lets go: other ways may work again too. */
  released(): void
  report(finding: Omit<Finding, 'at'>): void
  clear(...codes: Finding['code'][]): void
  /** Whether it is the tunnel's path. */
  isPath(endpoint: Endpoint): boolean
  log(fields: Record<string, unknown>, message: string): void
}

export interface OuterStreamOptions {
  readonly url: URL
  readonly endpoint: Endpoint
  readonly around: StreamSurroundings
  readonly ports: StreamPorts
  readonly clock: Pick<Clock, 'now'>
  readonly timers: Timers
}

type State =
  | { kind: 'idle' }
  | { kind: 'opening' }
  | { kind: 'open'; stream: DatagramStream; via: HttpProxy | undefined }
  /** It failed; `timer` tries again. */
  | { kind: 'waiting'; timer: Timer }

/**
 * One WebSocket to the broker, as a way for datagrams: opened when something is sent, kept while it is used, made anew when it breaks.
 *
 *   idle --send--> opening --> open --unused for 60 s--> idle
 *                     | failed     | broke: at once, then with backoff
 *                     v            v
 *                  waiting ---> opening        nothing sent for 60 s: idle
 */
export class OuterStream {
  readonly endpoint: Endpoint
  readonly #options: OuterStreamOptions
  readonly #backoff: Backoff
  #state: State = { kind: 'idle' }
  #waiting: Uint8Array[] = []
  #sentAt: Instant | undefined
  /** The oldest datagram that deserves an answer and has had none. */
  #owedSince: Instant | undefined
  #askedAt: Instant | undefined
  #wasOpen = false
  /** Something came through it since it was opened. */
  #served = false
  #behindPortal: { address: string | undefined; since: Instant } | undefined
  #look: Timer | undefined
  #closed = false

  constructor(options: OuterStreamOptions) {
    this.#options = options
    this.endpoint = options.endpoint
    const { suite } = options.around
    this.#backoff = new Backoff(
      { base: seconds(1), cap: seconds(30) },
      uniform((length) => suite.random(length)),
    )
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open'
  }

  /** The proxy through which it goes now. */
  get via(): HttpProxy | undefined {
    return this.#state.kind === 'open' ? this.#state.via : undefined
  }

  /** Sends a copy, at once or when the stream is open. False: dropped, since the stream is slow. */
  send(datagram: Uint8Array): boolean {
    if (this.#closed) return false
    const now = this.#options.clock.now()
    this.#sentAt = now
    this.#look ??= this.#options.timers.setTimer(LOOK_EVERY, () => this.#lookAfter())
    if (this.#state.kind === 'open') {
      // Data that is one byte, and what answers the far end's own, are owed nothing; the tunnel's own packets come both ways.
      if (classify(datagram) !== 'keepalive') this.#owedSince ??= now
      return this.#state.stream.send(datagram)
    }
    this.#waiting.push(datagram.slice())
    if (this.#waiting.length > WAITING_LIMIT) this.#waiting.shift()
    if (this.#state.kind === 'idle') void this.#open()
    return true
  }

  /** The network is another one: what is open may be of no use any more, and what waits need not. */
  renew(): void {
    if (this.#state.kind === 'open') {
      this.#askedAt ??= this.#options.clock.now()
      this.#state.stream.ping()
    } else if (this.#state.kind === 'waiting') {
      this.#state.timer.clear()
      void this.#open()
    }
  }

  close(): void {
    this.#closed = true
    this.#look?.clear()
    this.#release('the agent lets go')
  }

  async #open(): Promise<void> {
    this.#state = { kind: 'opening' }
    const { url, around, ports } = this.#options
    let ended: string | undefined
    let made: DatagramStream | undefined
    const attempt = await attemptStream(url, around, {
      datagram: (datagram) => {
        this.#heard()
        if (!this.#closed) ports.datagram(datagram, this.endpoint)
      },
      alive: () => this.#heard(),
      closed: (why) => {
        ended = why
        if (this.#state.kind === 'open' && this.#state.stream === made) this.#broke(why)
      },
    })
    if (this.#closed || this.#state.kind !== 'opening') {
      if (attempt.kind === 'open') attempt.stream.close('nobody waits for it')
      return
    }
    if (attempt.kind === 'failed') this.#failed(attempt)
    else if (ended !== undefined) this.#wait(this.#backoff.next())
    else {
      made = attempt.stream
      this.#opened(attempt)
    }
  }

  #opened({ stream, inspected, via }: Extract<Attempt, { kind: 'open' }>): void {
    const { ports, url } = this.#options
    const isAgain = this.#wasOpen
    this.#state = { kind: 'open', stream, via }
    this.#wasOpen = true
    this.#served = false
    this.#owedSince = undefined
    this.#askedAt = undefined
    ports.clear('portal', 'proxy-auth', 'proxy-refused', 'stream-refused')
    if (inspected) ports.report(inspected)
    else ports.clear('tls-inspected')
    const wasBehindPortal = this.#behindPortal !== undefined
    this.#behindPortal = undefined
    ports.log({ url: url.href }, 'the stream to the broker is open')
    for (const datagram of this.#waiting.splice(0)) stream.send(datagram)
    if (isAgain) ports.reopened(this.endpoint)
    if (wasBehindPortal) ports.released()
  }

  #failed({ why, finding, address }: Extract<Attempt, { kind: 'failed' }>): void {
    const { ports, url, clock } = this.#options
    ports.log({ url: url.href, why }, 'no stream to the broker')
    if (finding) ports.report(finding)
    if (finding?.code === 'portal') {
      this.#behindPortal ??= { address, since: clock.now() }
      this.#wait(PORTAL_LOOK_EVERY, () => void this.#lookAtPortal(clock.now()))
      return
    }
    ports.clear('portal')
    this.#behindPortal = undefined
    this.#wait(this.#backoff.next())
  }

  #broke(why: string): void {
    this.#options.ports.log({ url: this.#options.url.href, why }, 'the stream to the broker broke')
    this.#owedSince = undefined
    this.#askedAt = undefined
    if (!this.#isWanted()) {
      this.#state = { kind: 'idle' }
      return
    }
    // The first one at once: most are a moment's trouble. It counts as a success again when something has come through it.
    this.#wait(this.#served ? milliseconds(0) : this.#backoff.next())
  }

  #wait(span: Duration, then: () => void = () => void this.#open()): void {
    const timer = this.#options.timers.setTimer(span, () => {
      if (this.#closed || this.#state.kind !== 'waiting') return
      if (this.#isWanted()) then()
      else this.#release('unused')
    })
    this.#state = { kind: 'waiting', timer }
  }

  /** A look costs less than the whole way, and is made more often: back within seconds of the release (F-09). */
  async #lookAtPortal(since: Instant): Promise<void> {
    const { url, clock } = this.#options
    const { address } = this.#behindPortal ?? {}
    const again = (): void => void this.#lookAtPortal(since)
    const isThere = address !== undefined && (await probePortal(url.hostname, address, url.pathname))
    if (this.#closed || this.#state.kind !== 'waiting') return
    if (isThere && elapsed(since, clock.now()) < PORTAL_RETRY_EVERY) this.#wait(PORTAL_LOOK_EVERY, again)
    else void this.#open()
  }

  #heard(): void {
    this.#owedSince = undefined
    this.#askedAt = undefined
    if (this.#state.kind !== 'open') return
    this.#served = true
    this.#backoff.reset()
  }

  #isWanted(): boolean {
    const { ports, clock } = this.#options
    if (ports.isPath(this.endpoint)) return true
    return this.#sentAt !== undefined && elapsed(this.#sentAt, clock.now()) < LET_GO_AFTER
  }

  #lookAfter(): void {
    this.#look = undefined
    if (this.#closed) return
    if (!this.#isWanted()) {
      this.#release('unused')
      return
    }
    this.#look = this.#options.timers.setTimer(LOOK_EVERY, () => this.#lookAfter())
    if (this.#state.kind !== 'open') return
    const now = this.#options.clock.now()
    const { stream } = this.#state
    if (this.#askedAt !== undefined && elapsed(this.#askedAt, now) >= CUT_AFTER) stream.close('silent')
    else if (this.#askedAt === undefined && this.#owedSince !== undefined && elapsed(this.#owedSince, now) >= ASK_AFTER) {
      this.#askedAt = now
      stream.ping()
    }
  }

  #release(why: string): void {
    const state = this.#state
    this.#state = { kind: 'idle' }
    this.#waiting = []
    this.#wasOpen = false
    this.#behindPortal = undefined
    if (state.kind === 'open') state.stream.close(why)
    else if (state.kind === 'waiting') state.timer.clear()
  }
}
