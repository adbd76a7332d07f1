import type { FlowEnd } from '#shared/dataplane/flow.ts'
import type { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { elapsed, type Instant, seconds } from '#shared/time/instant.ts'

/** First fragments remembered at once; the oldest goes first. */
const capacity = 1_024
/** RFC 8200 §4.5 lets a packet be reassembled for 60 s; half of it is ample inside a tunnel. */
const life = seconds(30)

/**
 * Which packets' first fragments were permitted: later ones carry no ports, so they pass by (source, destination, protocol,
 * identification) and by the association they came from, never before their first.
 */
export class FragmentMemory {
  readonly #seen = new Map<string, { from: FlowEnd; at: Instant }>()

  remember(packet: InnerPacket, from: FlowEnd, now: Instant): void {
    const key = keyOf(packet)
    this.#seen.delete(key)
    this.#seen.set(key, { from, at: now })
    if (this.#seen.size > capacity) this.#seen.delete(this.#seen.keys().next().value!)
  }

  passes(packet: InnerPacket, from: FlowEnd, now: Instant): boolean {
    const first = this.#seen.get(keyOf(packet))
    return first !== undefined && first.from === from && elapsed(first.at, now) < life
  }

  expire(now: Instant): void {
    for (const [key, { at }] of this.#seen) {
      if (elapsed(at, now) < life) break
      this.#seen.delete(key)
    }
  }

  clear(): void {
    this.#seen.clear()
  }
}

function keyOf(packet: InnerPacket): string {
  const { bytes, sourceAt, width, protocol, fragmentId } = packet
  let key = `${fragmentId}:${protocol}:`
  for (let i = sourceAt; i < sourceAt + 2 * width; i++) key += String.fromCharCode(bytes[i]!)
  return key
}
