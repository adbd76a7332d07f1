import type { Deadline } from '#shared/machine.ts'
import type { Duration, Instant } from '#shared/time/instant.ts'
import { after, milliseconds } from '#shared/time/instant.ts'
import type { SeededRandom } from '#sim/seeded-random.ts'

/** One direction of a wire between two hosts: loses, delays, reorders and doubles packets from one seed. */
export interface LinkQuality {
  /** Probability of losing a packet, 0..1. */
  loss: number
  /** One-way delay. */
  delay: Duration
  /** A uniform extra delay up to this: where it exceeds the gap between packets, they are reordered. */
  jitter: Duration
  /** Probability of delivering a packet twice, 0..1. */
  duplication: number
}

export const perfectLink: LinkQuality = { loss: 0, delay: milliseconds(0), jitter: milliseconds(0), duplication: 0 }

interface InFlight<Packet> {
  at: Instant
  /** Keeps packets of the same instant in order of sending. */
  order: number
  packet: Packet
}

export class Link<Packet> {
  quality: LinkQuality
  readonly #random: SeededRandom
  readonly #inFlight: InFlight<Packet>[] = []
  #order = 0

  constructor(quality: LinkQuality, random: SeededRandom) {
    this.quality = quality
    this.#random = random
  }

  send(packet: Packet, now: Instant): void {
    const { loss, duplication } = this.quality
    if (this.#random.chance(loss)) return
    this.#launch(packet, now)
    if (this.#random.chance(duplication)) this.#launch(packet, now)
  }

  /** Takes the packets that have arrived by `now`, in order of arrival. */
  *arrivals(now: Instant): Iterable<Packet> {
    while (this.#inFlight[0] && this.#inFlight[0].at <= now) yield this.#inFlight.shift()!.packet
  }

  deadline(): Deadline | undefined {
    const first = this.#inFlight[0]
    return first && { at: first.at, why: 'a packet arrives' }
  }

  #launch(packet: Packet, now: Instant): void {
    const { delay, jitter } = this.quality
    const at = after(now, milliseconds(delay + jitter * this.#random.next()))
    const entry = { at, order: this.#order++, packet }
    let place = this.#inFlight.length
    while (place > 0 && this.#inFlight[place - 1]!.at > at) place--
    this.#inFlight.splice(place, 0, entry)
  }
}
