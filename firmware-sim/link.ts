import type { Deadline } from '#shared/machine.ts'
import type { Duration, Instant } from '#shared/time/instant.ts'
import { after, instant, milliseconds } from '#shared/time/instant.ts'
import type { SeededRandom } from '#sim/seeded-random.ts'

/** One direction of a wire between two hosts: loses, delays, reorders, doubles and spoils packets from one seed. */
export interface LinkQuality {
  /** Probability of losing a packet, 0..1. */
  loss: number
  /** One-way delay. */
  delay: Duration
  /** A uniform extra delay up to this: where it exceeds the gap between packets, they are reordered. */
  jitter: Duration
  /** Probability of delivering a packet twice, 0..1. */
  duplication: number
  /** Losses that come together (Gilbert and Elliott): the chance, at each packet, that a burst begins or ends; within it all is lost. */
  burst?: { begins: number; ends: number } | undefined
  /** Probability that a packet is held back for `by`, so that later ones overtake it. */
  reorder?: { probability: number; by: Duration } | undefined
  /** Packets leave one after another at this rate; what exceeds the queue is lost. */
  rate?: { bitsPerSecond: number; queueBytes: number } | undefined
  /** Larger packets are lost: bytes with all headers. */
  mtu?: number | undefined
  /** Probability that one bit of a packet is flipped. */
  corruption?: number | undefined
}

export const perfectLink: LinkQuality = { loss: 0, delay: milliseconds(0), jitter: milliseconds(0), duplication: 0 }

/** What a link must know of its packets, for rate, MTU and corruption. */
export interface PacketForm<Packet> {
  /** Bytes with all headers. */
  sizeOf(packet: Packet): number
  /** A copy with one bit flipped, chosen by `below`. */
  corrupted(packet: Packet, below: (bound: number) => number): Packet
}

interface InFlight<Packet> {
  at: Instant
  packet: Packet
}

export class Link<Packet> {
  quality: LinkQuality
  readonly #random: SeededRandom
  readonly #form: PacketForm<Packet> | undefined
  readonly #inFlight: InFlight<Packet>[] = []
  #inBurst = false
  /** When the last bit of the queue has left. */
  #freeAt = instant(0)

  /** Rate, MTU and corruption act only where `form` is given. */
  constructor(quality: LinkQuality, random: SeededRandom, form?: PacketForm<Packet>) {
    this.quality = quality
    this.#random = random
    this.#form = form
  }

  /** Whether the packet is small enough; a router says so in an ICMP message, a black hole does not. */
  fits(packet: Packet): boolean {
    const { mtu } = this.quality
    return mtu === undefined || this.#form === undefined || this.#form.sizeOf(packet) <= mtu
  }

  send(packet: Packet, now: Instant): void {
    const { loss, duplication, corruption } = this.quality
    if (!this.fits(packet)) return
    const leaves = this.#leavesAt(packet, now)
    if (leaves === undefined || this.#lostInBurst() || (loss > 0 && this.#random.chance(loss))) return
    const arriving =
      corruption && this.#form && this.#random.chance(corruption)
        ? this.#form.corrupted(packet, (bound) => this.#random.below(bound))
        : packet
    this.#launch(arriving, leaves)
    if (duplication > 0 && this.#random.chance(duplication)) this.#launch(arriving, leaves)
  }

  /** Takes the packets that have arrived by `now`, in order of arrival. */
  *arrivals(now: Instant): Iterable<Packet> {
    while (this.#inFlight[0] && this.#inFlight[0].at <= now) yield this.#inFlight.shift()!.packet
  }

  deadline(): Deadline | undefined {
    const first = this.#inFlight[0]
    return first && { at: first.at, why: 'a packet arrives' }
  }

  /** When the packet's last bit has left, behind those that wait; undefined where the queue has no room. */
  #leavesAt(packet: Packet, now: Instant): Instant | undefined {
    const { rate } = this.quality
    if (rate === undefined || this.#form === undefined) return now
    const bits = this.#form.sizeOf(packet) * 8
    const waiting = Math.max(this.#freeAt - now, 0)
    if ((waiting / 1_000) * rate.bitsPerSecond + bits > rate.queueBytes * 8) return undefined
    this.#freeAt = after(now, milliseconds(waiting + (bits / rate.bitsPerSecond) * 1_000))
    return this.#freeAt
  }

  #lostInBurst(): boolean {
    const { burst } = this.quality
    if (burst === undefined) return false
    if (this.#random.chance(this.#inBurst ? burst.ends : burst.begins)) this.#inBurst = !this.#inBurst
    return this.#inBurst
  }

  #launch(packet: Packet, leaves: Instant): void {
    const { delay, jitter, reorder } = this.quality
    const extra = jitter > 0 ? jitter * this.#random.next() : 0
    const held = reorder !== undefined && this.#random.chance(reorder.probability) ? reorder.by : 0
    const at = after(leaves, milliseconds(delay + extra + held))
    let place = this.#inFlight.length
    while (place > 0 && this.#inFlight[place - 1]!.at > at) place--
    this.#inFlight.splice(place, 0, { at, packet })
  }
}
