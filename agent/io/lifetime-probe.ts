import type { AgentCore, AgentEvent } from '#agent/core/agent-core.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import { ASKER, BindingLifetime, type LifetimeOutput, type LifetimeVerdict } from '#shared/nat/binding-lifetime.ts'
import type { Family } from '#shared/nat/data-budget.ts'
import type { OuterMeter } from '#shared/nat/outer-octets.ts'
import { Driver } from '#shared/platform/driver.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import { type Clock, type Duration, hours, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, isCarried, sameEndpoint } from '#shared/wire/endpoint.ts'
import type { NetworkMemory } from './network-memory.ts'

/** A network is looked at when the tunnel has been up in it for so long: who roams through has other cares. */
const SETTLES_AFTER = seconds(10)
/** Nobody answered, or the tunnel does not run over UDP now: look again. */
const LOOK_AGAIN_AFTER = hours(1)
/** A learned interval that was lost twice within a day is taken back by so much below what is then learned. */
const DISTRUST = 0.85
const DISTRUST_FOR = hours(24)

export interface LifetimeProbeOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  readonly core: Pick<AgentCore, 'state' | 'association' | 'reflexive' | 'setKeepaliveInterval'>
  readonly memory: NetworkMemory
  /** Counts what the probes cost. */
  readonly meter?: OuterMeter
  /** The network of the moment (`networkFingerprint`); undefined: it cannot be told from others. */
  fingerprint(publicAddress: string): Promise<string | undefined>
  /** The longest interval that is of use; undefined: the longer the better. */
  enough(family: Family): Duration | undefined
}

/** What is known of the network's mappings now, for status and `why`. */
export type LifetimeStatus =
  | { readonly kind: 'unasked' | 'learning' }
  | { readonly kind: 'remembered'; readonly interval: Duration }
  | LifetimeVerdict

/**
 * The sockets and the memory around `BindingLifetime`: once in each network, beside the tunnel's own socket, it learns how long the NAT
 * keeps a mapping, and has the core keep the interval just under it (DESIGN D7).
 */
export class LifetimeProbe {
  readonly #options: LifetimeProbeOptions
  readonly #driver: Driver
  readonly #sockets = new Map<number, UdpSocket>()
  readonly #unsent = new Map<number, Uint8Array[]>()
  #machine: BindingLifetime | undefined
  #broker: Endpoint | undefined
  #network: string | undefined
  #status: LifetimeStatus = { kind: 'unasked' }
  #timer: Timer | undefined
  #lost: { interval: Duration; at: Instant } | undefined
  #cap: Duration | undefined
  #closed = false

  constructor(options: LifetimeProbeOptions) {
    this.#options = options
    this.#driver = new Driver(options.clock, options.timers)
    this.#driver.add({
      deadline: () => this.#machine?.deadline(),
      expire: (now) => {
        this.#machine?.handle({ kind: 'time' }, now)
        this.#drain()
      },
    })
  }

  get status(): LifetimeStatus {
    return this.#status
  }

  /** What the core says of itself. */
  event(event: AgentEvent): void {
    if (event.kind === 'up' || event.kind === 'roamed') this.#lookAfter(SETTLES_AFTER)
    else if (event.kind === 'connecting' || event.kind === 'down') this.#abandon()
    else if (event.kind === 'binding-lost') this.#bindingLost(event.interval)
  }

  /** The data budget has changed: what was enough may be no more. */
  planChanged(): void {
    this.#network = undefined
    this.#lookAfter(SETTLES_AFTER)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.clear()
    this.#driver.close()
    this.#abandon()
    await this.#options.memory.saved()
  }

  #lookAfter(span: Duration): void {
    this.#timer?.clear()
    if (!this.#closed) this.#timer = this.#options.timers.setTimer(span, () => void this.#look())
  }

  async #look(): Promise<void> {
    const { core, memory, clock, log } = this.#options
    const broker = core.association?.endpoint
    const { reflexive } = core
    if (this.#closed || this.#machine !== undefined) return
    if (core.state !== 'up' || broker === undefined || isCarried(broker) || reflexive === undefined) {
      this.#lookAfter(LOOK_AGAIN_AFTER)
      return
    }
    const network = await this.#options.fingerprint(reflexive.address).catch(() => undefined)
    if (this.#closed || this.#machine !== undefined || (network !== undefined && network === this.#network)) return
    this.#network = network
    const enough = this.#options.enough(familyOf(broker))
    const known = network === undefined ? undefined : memory.recall(network, clock.wall())
    const isOutgrown = known?.capped === true && (enough === undefined || enough > (known.interval ?? 0) * 1.05)
    if (known === undefined || isOutgrown) {
      core.setKeepaliveInterval(undefined)
      this.#learn(broker, enough)
    } else if (known.interval === undefined) {
      core.setKeepaliveInterval(undefined)
      this.#status = { kind: 'unknown', why: 'no-response-port', probes: 0 }
    } else {
      const interval = milliseconds(Math.min(known.interval, enough ?? Number.POSITIVE_INFINITY))
      this.#status = { kind: 'remembered', interval }
      core.setKeepaliveInterval(interval)
      log.debug({ interval }, 'a network that is known')
    }
  }

  #learn(broker: Endpoint, enough: Duration | undefined): void {
    const { suite, clock } = this.#options
    this.#broker = { ...broker }
    this.#status = { kind: 'learning' }
    this.#machine = new BindingLifetime({ suite, ...(enough !== undefined && { enough }) }, clock.now())
    this.#drain()
  }

  #drain(): void {
    for (let output = this.#machine?.poll(); output !== undefined; output = this.#machine?.poll()) this.#carry(output)
    this.#driver.kick()
  }

  #carry(output: LifetimeOutput): void {
    switch (output.kind) {
      case 'open':
        this.#unsent.set(output.socket, [])
        void this.#open(output.socket)
        break
      case 'close':
        this.#close(output.socket)
        break
      case 'send': {
        const socket = this.#sockets.get(output.socket)
        this.#options.meter?.countSent(output.datagram.length, this.#broker!)
        if (socket !== undefined) socket.send(output.datagram, this.#broker!)
        else this.#unsent.get(output.socket)?.push(output.datagram)
        break
      }
      case 'learnt':
        this.#learnt(output.verdict)
    }
  }

  async #open(number: number): Promise<void> {
    const machine = this.#machine
    const broker = this.#broker!
    try {
      const socket = await UdpSocket.bind({
        ...(familyOf(broker) === 'v4' && { address: '0.0.0.0' }),
        port: 0,
        onDatagram: (datagram, from) => {
          if (machine === undefined || machine !== this.#machine || !sameEndpoint(from, broker)) return
          this.#options.meter?.countReceived(datagram.length, from)
          machine.handle({ kind: 'heard', socket: number, datagram }, this.#options.clock.now())
          this.#drain()
        },
      })
      const waiting = this.#unsent.get(number)
      if (machine !== this.#machine || waiting === undefined) {
        await socket.close()
        return
      }
      socket.unref()
      this.#unsent.delete(number)
      this.#sockets.set(number, socket)
      for (const datagram of waiting) socket.send(datagram, broker)
    } catch (error) {
      this.#options.log.debug({ code: toAditError(error).code }, 'no socket for a binding probe')
      if (machine === this.#machine) this.#abandon()
    }
  }

  #close(number: number): void {
    this.#unsent.delete(number)
    const socket = this.#sockets.get(number)
    this.#sockets.delete(number)
    void socket?.close()
  }

  #learnt(verdict: LifetimeVerdict): void {
    const { core, memory, clock, log } = this.#options
    this.#machine = undefined
    this.#status = verdict
    log.info({ ...verdict }, "lifetime of this network's UDP mappings")
    if (verdict.kind === 'unknown') {
      core.setKeepaliveInterval(undefined)
      if (verdict.why === 'unreachable') {
        this.#network = undefined
        this.#lookAfter(LOOK_AGAIN_AFTER)
      } else if (this.#network !== undefined) memory.learned(this.#network, { interval: undefined, capped: false }, clock.wall())
      return
    }
    const interval = milliseconds(Math.min(verdict.interval, this.#cap ?? Number.POSITIVE_INFINITY))
    core.setKeepaliveInterval(interval)
    if (this.#network !== undefined) memory.learned(this.#network, { interval, capped: verdict.died === undefined }, clock.wall())
  }

  /** The core has gone back to the default interval by itself; what was remembered was wrong, or the network has changed. */
  #bindingLost(interval: Duration): void {
    const { memory, clock, log } = this.#options
    const now = clock.now()
    log.info({ interval }, 'the NAT forgot us sooner than it was learned; learning anew')
    if (this.#lost !== undefined && now - this.#lost.at < DISTRUST_FOR) this.#cap = milliseconds(interval * DISTRUST)
    this.#lost = { interval, at: now }
    if (this.#network !== undefined) memory.forget(this.#network)
    this.#network = undefined
    this.#abandon()
    this.#lookAfter(SETTLES_AFTER)
  }

  #abandon(): void {
    this.#timer?.clear()
    if (this.#machine !== undefined) {
      this.#network = undefined
      this.#status = { kind: 'unasked' }
    }
    this.#machine = undefined
    for (const number of new Set([...this.#sockets.keys(), ...this.#unsent.keys(), ASKER])) this.#close(number)
  }
}

const familyOf = ({ address }: Endpoint): Family => (address.includes(':') ? 'v6' : 'v4')
