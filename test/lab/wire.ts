import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { systemClock } from '#shared/platform/clock.ts'
import { Link, type LinkQuality, type PacketForm, perfectLink } from '#sim/link.ts'
import type { NatBehaviour } from '#sim/nat-box.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import type { Host } from '#test/lab/namespaces.ts'
import { PacketNat } from '#test/lab/packet-nat.ts'
import { Tun } from '#test/lab/tun.ts'

export interface LabWireEnd {
  host: Host
  /** Host addresses of the interface, of either family, without prefix length. */
  addresses: readonly string[]
}

export interface LabWireOptions {
  /** Everything that it has no other route for goes by the wire. */
  inside: LabWireEnd
  /** Reaches the inside by the wire, or, with `nat`, its outside address. */
  outside: LabWireEnd
  quality?: Partial<LinkQuality>
  /** Translates IPv4 on its way, at the outside's end. */
  nat?: { behaviour: NatBehaviour; outsideAddress: string }
  seed?: number
}

const form: PacketForm<Uint8Array> = {
  sizeOf: (packet) => packet.length,
  corrupted(packet, below) {
    const copy = packet.slice()
    copy[below(copy.length)]! ^= 1 << below(8)
    return copy
  },
}

/**
 * A wire between two namespaces that does what the kernel here cannot: delay, jitter, reordering, doubling, rate, MTU without a word,
 * and NATs of every kind. Packets cross this process, between two TUNs, by firmware-sim's own link and NAT.
 *
 *   inside ── TUN ── link ── NAT ── TUN ── outside
 */
export class LabWire {
  readonly nat: PacketNat | undefined
  /** Packets that were fragments: ours send none. */
  fragments = 0
  readonly #up: Road
  readonly #down: Road
  readonly #tuns: Tun[] = []

  constructor(t: Pick<TestContext, 'after'>, { inside, outside, quality, nat, seed = 1 }: LabWireOptions) {
    const random = new SeededRandom(seed)
    const full = { ...perfectLink, ...quality }
    this.nat = nat && new PacketNat(nat.behaviour, nat.outsideAddress, (bound) => random.below(bound))
    const near = new Tun(tunName(), (packet) => this.#carry(packet, this.#up))
    const far = new Tun(tunName(), (packet) => this.#carry(packet, this.#down))
    this.#tuns.push(near, far)
    this.#up = new Road(full, random.fork(), (packet) => {
      if (this.nat?.outbound(packet, systemClock.now()) ?? true) far.write(packet)
    })
    this.#down = new Road(full, random.fork(), (packet) => {
      if (this.nat?.inbound(packet, systemClock.now()) ?? true) near.write(packet)
    })
    lay(near, inside)
    lay(far, outside)
    for (const address of inside.addresses) {
      inside.host.ip(`${familyOf(address)} route replace default dev ${near.name}`)
      const isTranslated = nat !== undefined && !address.includes(':')
      outside.host.ip(`${familyOf(address)} route replace ${isTranslated ? nat.outsideAddress : address} dev ${far.name}`)
    }
    near.start()
    far.start()
    t.after(() => this.close())
  }

  /** For packets sent from now on, both ways. */
  set quality(quality: Partial<LinkQuality>) {
    const full = { ...perfectLink, ...quality }
    this.#up.link.quality = full
    this.#down.link.quality = full
  }

  async close(): Promise<void> {
    this.#up.close()
    this.#down.close()
    await Promise.all(this.#tuns.splice(0).map((tun) => tun.close()))
  }

  #carry(packet: Uint8Array, road: Road): void {
    if (packet[0]! >> 4 === 4 && ((packet[6]! & 0x3f) !== 0 || packet[7] !== 0)) this.fragments++
    if (packet[0]! >> 4 === 6 && packet[6] === 44) this.fragments++
    road.send(packet.slice())
  }
}

/** One direction, in real time. */
class Road {
  readonly link: Link<Uint8Array>
  readonly #deliver: (packet: Uint8Array) => void
  #timer: { at: number; timer: NodeJS.Timeout } | undefined
  #closed = false

  constructor(quality: LinkQuality, random: SeededRandom, deliver: (packet: Uint8Array) => void) {
    this.link = new Link(quality, random, form)
    this.#deliver = deliver
  }

  send(packet: Uint8Array): void {
    if (this.#closed) return
    this.link.send(packet, systemClock.now())
    this.#pump()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer?.timer)
  }

  #pump(): void {
    const now = systemClock.now()
    for (const packet of this.link.arrivals(now)) this.#deliver(packet)
    const at = this.link.deadline()?.at
    if (at === undefined || (this.#timer && this.#timer.at <= at)) return
    clearTimeout(this.#timer?.timer)
    const timer = setTimeout(
      () => {
        this.#timer = undefined
        if (!this.#closed) this.#pump()
      },
      Math.max(at - now, 0),
    )
    this.#timer = { at, timer }
  }
}

function lay(tun: Tun, { host, addresses }: LabWireEnd): void {
  execFileSync('ip', ['link', 'set', tun.name, 'netns', host.name])
  for (const address of addresses) host.addAddress(`${address}/${address.includes(':') ? 128 : 32}`, tun.name)
  host.ip(`link set ${tun.name} up`)
}

const tunName = (): string => `aw${randomBytes(4).toString('hex')}`
const familyOf = (address: string): string => (address.includes(':') ? '-6' : '-4')
