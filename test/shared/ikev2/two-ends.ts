import { nativeSuite } from '#shared/crypto/native.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { defaultIkeSettings, type IkeContext, type IkeSettings, type Initiation } from '#shared/ikev2/ike-context.ts'
import type { ChildSaKeys, IkeOutput } from '#shared/ikev2/ike-output.ts'
import { IkeSa } from '#shared/ikev2/ike-sa.ts'
import { readInitRequest } from '#shared/ikev2/init-request.ts'
import type { ChildPolicy, IkeOwner, PeerGrant } from '#shared/ikev2/peer-policy.ts'
import { parseProposals } from '#shared/ikev2/proposal.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import { uniform } from '#shared/time/backoff.ts'
import { instant, milliseconds, wallTime } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { decodeIkeHeader } from '#shared/wire/ike-header.ts'
import { HeaderFlag, IdType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { IkeId, TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'
import { toySuite } from './toy-suite.ts'

/** Two IKE machines on a wire of ours, in virtual time: messages are held, dropped, doubled and crossed as a test likes. */

export type Side = 'a' | 'b'
export const otherSide = { a: 'b', b: 'a' } as const

/** A message on its way. */
export interface Parcel {
  readonly from: Side
  readonly datagram: Uint8Array
  readonly exchange: number
  readonly messageId: number
  readonly isAnswer: boolean
}

export const fqdn = (name: string): IkeId => ({ type: IdType.Fqdn, data: Uint8Array.from(Buffer.from(name)) })

/** A linear generator: one seed, one history. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x45d9f3b) >>> 0
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 0x1_0000_0000
  }
}

/** Random bytes from a seed; `cheap`: `toySuite`. */
export function seededSuite(seed: number, cheap: boolean): Suite {
  const dice = seeded(seed)
  const random = (length: number): Uint8Array => {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = dice() * 256
    return bytes
  }
  return cheap ? toySuite(random) : { ...nativeSuite, random }
}

const ip = (cidr: string): TrafficSelector => fromCidr(parseCidr(cidr)!)
export const selectors = (...cidrs: string[]): TrafficSelector[] => cidrs.map(ip)

/** `a` lives in 10.1/16, `b` in 10.2/16. */
export const policyOf = (side: Side, esp: string): ChildPolicy => ({
  proposals: parseProposals([esp], ProtocolId.Esp),
  localSelectors: selectors(side === 'a' ? '10.1.0.0/16' : '10.2.0.0/16'),
  remoteSelectors: selectors(side === 'a' ? '10.2.0.0/16' : '10.1.0.0/16'),
  lifetime: defaultChildLifetime,
})

export interface EndOptions {
  readonly ike?: string
  readonly esp?: string
  readonly settings?: Partial<IkeSettings>
  readonly context?: Partial<IkeContext>
  readonly owner?: Partial<IkeOwner>
  readonly grant?: Partial<PeerGrant>
}

export interface TwoEndsOptions {
  readonly seed?: number
  readonly cheap?: boolean
  readonly a?: EndOptions
  readonly b?: EndOptions
  readonly initiation?: Partial<Initiation>
}

const secret = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
const usualIke = 'aes256gcm16-prfsha256-x25519'
const usualEsp = 'aes256gcm16-x25519-esn'

/** One machine with what it said. */
export class End {
  readonly side: Side
  readonly context: IkeContext
  readonly endpoint: Endpoint
  sa: IkeSa | undefined
  /** All outputs but what was sent, in their order. */
  readonly said: IkeOutput[] = []
  /** The data path's view: what it receives on, and what it sends with. */
  readonly installed = new Map<number, ChildSaKeys>()
  sendsWith: number | undefined
  readonly reservedSpis = new Set<number>()

  constructor(side: Side, options: EndOptions, suite: Suite) {
    this.side = side
    this.endpoint = { address: side === 'a' ? '192.0.2.1' : '198.51.100.1', port: 4500 }
    const grant: PeerGrant = {
      peerKey: side.repeat(64),
      name: side === 'a' ? 'bee' : 'ay',
      child: policyOf(side, options.esp ?? usualEsp),
      virtualAddresses: [],
      dns: [],
      ...options.grant,
    }
    const owner: IkeOwner = {
      judge: () => {
        throw new Error('nobody shows a certificate here')
      },
      preSharedKey: () => secret,
      ppk: () => undefined,
      admit: () => grant,
      ...options.owner,
    }
    this.context = {
      suite,
      dice: uniform((length) => suite.random(length)),
      owner,
      localIds: [fqdn(`${side}.example`)],
      credential: { kind: 'psk', secret },
      authorities: [],
      proposals: parseProposals([options.ike ?? usualIke], ProtocolId.Ike),
      ticketKeys: [],
      settings: { ...defaultIkeSettings, rekeySpacing: milliseconds(0), ...options.settings },
      wall: () => wallTime(Date.UTC(2026, 6, 1)),
      newSpi: () => new DataView(suite.random(8).buffer).getBigUint64(0) | 1n,
      newEspSpi: () => {
        const spi = (new DataView(suite.random(4).buffer).getUint32(0) | 0x8000_0000) >>> 0
        this.reservedSpis.add(spi)
        return spi
      },
      releaseEspSpi: (spi) => {
        if (!this.reservedSpis.delete(spi)) throw new Error(`SPI ${spi.toString(16)} was not reserved`)
      },
      ...options.context,
    }
  }

  /** The machine, which must be there. */
  get ike(): IkeSa {
    if (this.sa === undefined) throw new Error(`${this.side} has no IKE SA`)
    return this.sa
  }

  kinds(): string[] {
    return this.said.map(({ kind }) => kind)
  }

  closedWhy(): string | undefined {
    const closed = this.said.findLast((output) => output.kind === 'closed')
    return closed?.why
  }

  failures(): string[] {
    return this.said.flatMap((output) => (output.kind === 'failed' ? [`${output.failure.stage} ${output.failure.code}`] : []))
  }

  take(output: IkeOutput): void {
    this.said.push(output)
    if (output.kind === 'child-up') {
      if (!this.reservedSpis.delete(output.keys.inbound.spi))
        throw new Error('a Child SA came up on an SPI that was not reserved')
      this.installed.set(output.keys.inbound.spi, output.keys)
    } else if (output.kind === 'child-use') {
      if (!this.installed.has(output.inboundSpi)) throw new Error('child-use of an unknown Child SA')
      this.sendsWith = output.inboundSpi
    } else if (output.kind === 'child-down') {
      if (!this.installed.delete(output.inboundSpi)) throw new Error('child-down of an unknown Child SA')
      if (this.sendsWith === output.inboundSpi) this.sendsWith = undefined
    } else if (output.kind === 'closed') {
      this.installed.clear()
      this.sendsWith = undefined
    }
  }
}

export class TwoEnds {
  readonly a: End
  readonly b: End
  now = instant(1_000)
  /** Sent and not yet delivered, oldest first. */
  readonly wire: Parcel[] = []
  readonly options: TwoEndsOptions
  #initiated = false

  constructor(options: TwoEndsOptions = {}) {
    this.options = options
    const seed = options.seed ?? 1
    const suite = (which: number): Suite => seededSuite(seed * 2 + which, options.cheap !== false)
    this.a = new End('a', options.a ?? {}, suite(0))
    this.b = new End('b', options.b ?? {}, suite(1))
  }

  end(side: Side): End {
    return side === 'a' ? this.a : this.b
  }

  /** `a` begins. */
  initiate(): void {
    const { a, options } = this
    a.sa = IkeSa.initiate(
      a.context,
      {
        endpoint: this.b.endpoint,
        expectedId: fqdn('b.example'),
        child: policyOf('a', options.a?.esp ?? usualEsp),
        initialContact: false,
        ...options.initiation,
      },
      this.now,
    )
    this.#initiated = true
    this.collect()
  }

  /** Until both ends are established and nothing is on its way. */
  connect(): this {
    if (!this.#initiated) this.initiate()
    this.settle()
    return this
  }

  /** Takes what both machines put out, onto the wire what is to be sent. */
  collect(): void {
    for (const end of [this.a, this.b]) {
      if (end.sa === undefined) continue
      for (let output = end.sa.poll(); output !== undefined; output = end.sa.poll()) {
        if (output.kind === 'send') this.wire.push(this.#parcel(end.side, output.datagram))
        else end.take(output)
      }
    }
  }

  #parcel(from: Side, datagram: Uint8Array): Parcel {
    const { exchange, messageId, flags } = decodeIkeHeader(datagram)
    const isAnswer = (flags & HeaderFlag.Response) !== 0
    return { from, datagram, exchange, messageId, isAnswer }
  }

  /** Takes the oldest message of that side off the wire. */
  hold(from: Side): Parcel {
    this.collect()
    const at = this.wire.findIndex((parcel) => parcel.from === from)
    if (at < 0) throw new Error(`nothing from ${from} is on the wire`)
    return this.wire.splice(at, 1)[0]!
  }

  /** A message arrives. Returns what the machine made of it. */
  deliver({ from, datagram }: Parcel): number {
    const to = this.end(otherSide[from])
    const source = this.end(from).endpoint
    const result = to.sa === undefined ? this.#first(to, datagram, source) : to.sa.receive(datagram.slice(), source, this.now)
    this.collect()
    return result
  }

  #first(to: End, datagram: Uint8Array, from: Endpoint): number {
    const verdict = readInitRequest(to.context, datagram, from)
    if (verdict.kind === 'dropped') return verdict.reason
    if (verdict.kind === 'answered') {
      if (verdict.failure !== undefined) to.said.push({ kind: 'failed', failure: verdict.failure() })
      this.wire.push(this.#parcel(to.side, verdict.reply))
      return 0
    }
    to.sa = IkeSa.respond(to.context, verdict.request, this.now)
    return 0
  }

  /** The oldest message of that side arrives. */
  pass(from: Side): number {
    return this.deliver(this.hold(from))
  }

  /** All messages arrive, and those that they cause, in their order. */
  settle(): void {
    this.collect()
    for (let i = 0; this.wire.length > 0; i++) {
      if (i > 500) throw new Error('the two never come to rest')
      this.deliver(this.wire.shift()!)
    }
  }

  /** Time passes; what is sent meanwhile arrives at once, unless `lost`. */
  run(seconds: number, lost: (parcel: Parcel) => boolean = () => false): void {
    const until = this.now + seconds * 1_000
    for (;;) {
      const next = this.deadline
      if (next === undefined || next > until) break
      this.now = instant(Math.max(this.now, next))
      this.expire()
      while (this.wire.length > 0) {
        const parcel = this.wire.shift()!
        if (!lost(parcel)) this.deliver(parcel)
      }
    }
    this.now = instant(until)
  }

  get deadline(): number | undefined {
    const times = [this.a, this.b].flatMap(({ sa }) => sa?.deadline()?.at ?? [])
    return times.length === 0 ? undefined : Math.min(...times)
  }

  expire(): void {
    for (const { sa } of [this.a, this.b]) sa?.expire(this.now)
    this.collect()
  }
}
