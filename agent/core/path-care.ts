import type { Suite } from '#shared/crypto/suite.ts'
import { type Deadline, soonest } from '#shared/machine.ts'
import { LEAST_PATH_MTU, PathMtu } from '#shared/nat/path-mtu.ts'
import { after, type Duration, type Instant, milliseconds } from '#shared/time/instant.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'
import type { AgentConfig } from './agent-config.ts'
import { EchoProbes, SMALL_PROBE } from './echo-probes.ts'
import type { Hub } from './hub.ts'
import { type PathHealth, PathJudge } from './path-health.ts'
import { type Repair, RepairLadder } from './repair-ladder.ts'

/** What the care of the path asks of the agent core. */
export interface PathCarePorts {
  /** Seals an inner packet of ours and sends it the way in use. */
  send(packet: Uint8Array): void
  /** Asks the broker by STUN where we come from. */
  question(): void
  /** Sends an authenticated packet without content. */
  confirm(): void
  repair(repair: Repair): void
  /** Inner packets may be so large from now on. */
  innerMtu(bytes: number): void
  changed(health: PathHealth): void
  /** The path carries data again after it did not. */
  recovered(): void
}

/** The inner MTU that is believed without proof (DESIGN §5), and the least that a configuration can want. Bytes. */
const BASE_INNER_MTU = 1280
/** Outer headers around a UDP payload, bytes. */
const UDP_HEADER = 8
const IP_HEADER = { four: 20, six: 40 } as const
/** A way that is no UDP takes whatever inner packets are configured: TCP cuts it to size. */
const UNBOUNDED = 65_535
/** A smaller MTU is told so often, so far apart: the word may be lost. */
const NOTICES = 3
const NOTICE_SPAN: Duration = milliseconds(700)

/**
 * The care of the way to the broker: judges it (`PathJudge`), finds how large packets may be (`PathMtu`), and says what is to be repaired
 * (`RepairLadder`), all by the same probes. It speaks in inner sizes to the tunnel and in outer sizes to the path.
 */
export class PathCare {
  readonly #ports: PathCarePorts
  readonly #hub: Pick<Hub, 'innerRoom' | 'outerLength'>
  readonly #judge: PathJudge
  readonly #mtu = new PathMtu()
  readonly #probes: EchoProbes
  readonly #ladder: RepairLadder
  /** Outer size of what was asked, by inner size. */
  readonly #asked = new Map<number, number>()
  #endpoint: Endpoint | undefined
  #ceiling = BASE_INNER_MTU
  #isSparing = false
  #inner = BASE_INNER_MTU
  #told = BASE_INNER_MTU
  #notices = 0
  #noticeAt: Instant | undefined

  constructor(suite: Suite, hub: Pick<Hub, 'innerRoom' | 'outerLength'>, ports: PathCarePorts, now: Instant) {
    this.#hub = hub
    this.#ports = ports
    this.#judge = new PathJudge(suite, now)
    this.#probes = new EchoProbes(suite)
    this.#ladder = new RepairLadder(suite)
  }

  get health(): PathHealth {
    return this.#judge.health
  }

  get roundTrip(): Duration {
    return this.#judge.roundTrip
  }

  /** Outer bytes that pass, and inner ones. */
  get size(): { mtu: number; innerMtu: number } {
    return { mtu: this.#mtu.size, innerMtu: this.#inner }
  }

  configure({ inner, broker }: AgentConfig, now: Instant): void {
    this.#probes.setEnds(inner.addresses, broker.inner)
    if (this.#ceiling === inner.mtu) return
    this.#ceiling = inner.mtu
    this.#newPath(now)
  }

  watch(on: boolean, now: Instant): void {
    this.#judge.watch(on, now)
    this.#run(now)
  }

  /** Whether data is dear: then nothing larger than what is believed without proof is looked for, and sizes are tried only in doubt. */
  spare(on: boolean): void {
    this.#isSparing = on
    this.#judge.spare(on)
  }

  /** The way in use; another one than before is measured anew. `anew`: it may lead elsewhere although it has the same name. */
  use(endpoint: Endpoint, anew: boolean, now: Instant): void {
    if (!anew && this.#endpoint?.address === endpoint.address && this.#endpoint.port === endpoint.port) return
    this.#endpoint = { ...endpoint }
    this.#ladder.reset()
    this.#newPath(now)
    this.#judge.moved(now)
    this.#run(now)
  }

  /** A handshake has found the broker there, after `roundTrip` where that was measured. */
  found(endpoint: Endpoint, roundTrip: Duration | undefined, now: Instant): void {
    this.#endpoint = { ...endpoint }
    this.#newPath(now)
    this.#judge.found('a handshake was answered', roundTrip, now)
    // A broker that has just been found knows nothing of what was told before.
    this.#told = BASE_INNER_MTU
    this.#run(now)
  }

  lost(why: string, now: Instant): void {
    this.#judge.lost(why, now)
    this.#run(now)
  }

  /** The way may not be what it was. `full`: nor what it took. */
  disturb(full: boolean, now: Instant): void {
    this.#judge.disturb(full, now)
    this.#run(now)
  }

  sent(length: number, asks: boolean, now: Instant): void {
    this.#judge.sent(length, asks, now)
    if (length >= this.#inner && !this.#isSparing) this.#mtu.handle({ kind: 'used' }, now)
  }

  /** An inner packet that the tunnel authenticated. True: it was the answer to a probe. */
  heard(packet: Uint8Array, now: Instant): boolean {
    const answer = this.#probes.read(packet, now)
    if (answer === undefined) {
      this.#judge.heard(packet.length, now)
      return false
    }
    if (answer === 'late') return true
    const { size, sentAt, roundTrip } = answer
    this.#mtu.handle({ kind: 'round-trip', roundTrip }, now)
    const outer = this.#asked.get(size)
    if (outer !== undefined) this.#mtu.handle({ kind: 'answered', size: outer }, now)
    this.#judge.returned(size >= this.#inner ? 'full' : 'small', sentAt, now)
    this.#run(now)
    return true
  }

  authentic(now: Instant): void {
    this.#judge.authentic(now)
  }

  answered(what: string, roundTrip: Duration | undefined, now: Instant): void {
    this.#judge.answered(what, roundTrip, now)
    this.#run(now)
  }

  /** A small probe for a way beside the one in use. */
  probe(now: Instant): Uint8Array | undefined {
    return this.#probes.write(SMALL_PROBE, now)
  }

  expire(now: Instant): void {
    this.#judge.expire(now)
    this.#mtu.handle({ kind: 'time' }, now)
    if (this.#noticeAt !== undefined && now >= this.#noticeAt) this.#notify(now)
    this.#run(now)
  }

  deadline(): Deadline | undefined {
    const judge = this.#judge.deadline()
    const due = judge === undefined ? undefined : { at: judge, why: 'the path is probed' }
    const notice = this.#noticeAt === undefined ? undefined : { at: this.#noticeAt, why: 'the broker is told our MTU' }
    return soonest(soonest(due, notice), this.#mtu.deadline())
  }

  #newPath(now: Instant): void {
    this.#probes.forget()
    this.#asked.clear()
    const endpoint = this.#endpoint
    if (endpoint === undefined || isCarried(endpoint)) {
      this.#mtu.handle({ kind: 'path', base: UNBOUNDED, ceiling: UNBOUNDED }, now)
      this.#setInner(this.#ceiling, now)
      return
    }
    const outer = (inner: number): number => this.#hub.outerLength(inner) + this.#overhead
    const base = outer(Math.min(BASE_INNER_MTU, this.#ceiling))
    this.#mtu.handle({ kind: 'path', base, ceiling: Math.max(base, outer(this.#ceiling)) }, now)
    this.#setInner(this.#innerFor(this.#mtu.size), now)
  }

  /** One thing may lead to the next: a probe's answer to a verdict, a verdict to a search. */
  #run(now: Instant): void {
    for (let output = this.#judge.poll(); output !== undefined; output = this.#judge.poll()) {
      switch (output.kind) {
        case 'probe':
          this.#probe(
            output.size === 'small' ? SMALL_PROBE : this.#inner,
            output.size === 'small' ? undefined : this.#mtu.size,
            now,
          )
          break
        case 'question':
          this.#ports.question()
          break
        case 'confirm':
          this.#ports.confirm()
          break
        case 'black-hole':
          if (this.#endpoint && !isCarried(this.#endpoint)) this.#mtu.handle({ kind: 'black-hole' }, now)
          break
        case 'trouble': {
          const repair = this.#ladder.trouble(output.state, this.roundTrip, now)
          if (repair !== undefined) this.#ports.repair(repair)
          break
        }
        case 'changed':
          if (output.health.state === 'up') {
            this.#ladder.reset()
            this.#ports.recovered()
          }
          this.#ports.changed(output.health)
      }
    }
    for (let output = this.#mtu.poll(); output !== undefined; output = this.#mtu.poll()) {
      if (output.kind === 'probe') this.#probe(this.#innerFor(output.size), output.size, now)
      else if (output.kind === 'changed') this.#setInner(this.#innerFor(output.size), now)
    }
  }

  #probe(inner: number, outer: number | undefined, now: Instant): void {
    const packet = this.#probes.write(inner, now)
    if (packet === undefined) return
    if (outer !== undefined) this.#asked.set(packet.length, outer)
    this.#ports.send(packet)
  }

  #setInner(bytes: number, now: Instant): void {
    if (bytes !== this.#inner) {
      this.#judge.resized()
      const isSmaller = bytes < this.#inner
      this.#inner = bytes
      this.#ports.innerMtu(bytes)
      if (isSmaller) this.#ports.recovered()
    }
    if (bytes === this.#told || (bytes >= BASE_INNER_MTU && this.#told >= BASE_INNER_MTU)) return
    this.#told = bytes
    this.#notices = NOTICES
    this.#notify(now)
  }

  /** Whoever relays to us should know what fits, and cut SYNs to it. */
  #notify(now: Instant): void {
    const packet = this.#probes.notice(this.#inner)
    if (packet !== undefined) this.#ports.send(packet)
    this.#notices--
    this.#noticeAt = this.#notices > 0 ? after(now, NOTICE_SPAN) : undefined
  }

  get #overhead(): number {
    return UDP_HEADER + (this.#endpoint?.address.includes(':') ? IP_HEADER.six : IP_HEADER.four)
  }

  #innerFor(outer: number): number {
    return Math.min(this.#ceiling, this.#hub.innerRoom(Math.max(outer, LEAST_PATH_MTU) - this.#overhead))
  }
}
