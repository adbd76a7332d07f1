import type { UdpSocket } from '#shared/platform/udp.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { StunSeat } from '#shared/wire/stun-answer.ts'
import type { StunChange } from '#shared/wire/stun-binding.ts'

/** One of two addresses by two ports: bit 0 is set at the alternate port, bit 1 at the alternate address. */
export type StunCorner = 0 | 1 | 2 | 3

/**
 * The four endpoints of RFC 5780 §6.1 in one family. Whichever is asked, CHANGE-REQUEST flips bits of its number, and OTHER-ADDRESS is the
 * corner across. The tunnels' own port is corner 0; sockets stand at the others, so far as they are ours.
 */
export class StunSquare {
  readonly #primary: Endpoint
  readonly #sockets = new Map<StunCorner, UdpSocket>()
  #alternate: Endpoint

  constructor(primary: Endpoint, alternate: Endpoint) {
    this.#primary = primary
    this.#alternate = alternate
  }

  get alternate(): Endpoint {
    return this.#alternate
  }

  /** A port that was left to the system (0) has become known. */
  setAlternatePort(port: number): void {
    this.#alternate = { ...this.#alternate, port }
  }

  get hasOtherAddress(): boolean {
    return this.#alternate.address !== this.#primary.address
  }

  setSocket(corner: StunCorner, socket: UdpSocket): void {
    this.#sockets.set(corner, socket)
  }

  answersAt(corner: StunCorner): boolean {
    return corner === 0 || this.#sockets.has(corner)
  }

  /** What answers a request that came to `corner` under this change; undefined: the tunnels' port. */
  socket(corner: StunCorner, change: StunChange): UdpSocket | undefined {
    return this.#sockets.get(changed(corner, change))
  }

  seat(corner: StunCorner): StunSeat {
    return {
      origin: (change) => {
        const to = changed(corner, change)
        return this.answersAt(to) ? this.endpoint(to) : undefined
      },
      other: this.hasOtherAddress ? this.endpoint((corner ^ 3) as StunCorner) : undefined,
    }
  }

  endpoint(corner: StunCorner): Endpoint {
    return {
      address: corner & 2 ? this.#alternate.address : this.#primary.address,
      port: corner & 1 ? this.#alternate.port : this.#primary.port,
    }
  }
}

const changed = (corner: StunCorner, { address, port }: StunChange): StunCorner =>
  (corner ^ ((address ? 2 : 0) | (port ? 1 : 0))) as StunCorner
