/** How a NAT chooses an outside port other than the inside one (RFC 4787 §4.2): by chance, the next one, or by chance of the same parity. */
export type PortAssignment = 'random' | 'sequential' | 'parity'

const firstPort = 1024
const portCount = 65_536 - firstPort

export class NatPorts {
  readonly #random: (bound: number) => number
  #next: number | undefined

  constructor(random: (bound: number) => number) {
    this.#random = random
  }

  /** A port that `isFree`, the inside one where that is to be kept; undefined where every port is taken. */
  choose(inside: number, preserve: boolean, how: PortAssignment, isFree: (port: number) => boolean): number | undefined {
    if (preserve && isFree(inside)) return inside
    const [start, step] = this.#walk(inside, how)
    for (let i = 0; i < portCount; i += step) {
      const port = firstPort + ((start + i) % portCount)
      if (!isFree(port)) continue
      if (how === 'sequential') this.#next = (port + 1 - firstPort) % portCount
      return port
    }
    return undefined
  }

  #walk(inside: number, how: PortAssignment): [start: number, step: number] {
    if (how === 'sequential') return [this.#next ?? this.#random(portCount), 1]
    const start = this.#random(portCount)
    // firstPort and portCount are even: steps of two keep the parity.
    return how === 'parity' ? [start - (start % 2) + (inside % 2), 2] : [start, 1]
  }
}
