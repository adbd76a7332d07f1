import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { nativeSuite } from '#shared/crypto/native.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { Driver } from '#shared/platform/driver.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { Tun } from '#test/lab/tun.ts'

export interface TunFaults {
  /** Probability that a packet is dropped, each way. */
  loss: number
  /** Probability that a packet is held back until some later ones have passed, each way. */
  reorder: number
}

/** Later packets that pass a held one: from 1 to this. */
const MOST_OVERTAKING = 12

/** A held packet goes on after so long, ms, if nothing passes it. */
const HELD_AT_MOST = 4

export const STACK = { v6: 'fd7a::1', v4: '100.64.9.1' } as const
export const KERNEL = { v6: 'fd7a::2', v4: '100.64.9.2' } as const

/** Our stack on one side of a TUN, the kernel of a network namespace of its own on the other. */
export class KernelNetstack {
  readonly namespace = `adit-${randomBytes(4).toString('hex')}`
  readonly stack: Netstack
  readonly #tun: Tun
  readonly #driver: Driver
  readonly #toStack: FaultyRoad
  readonly #toKernel: FaultyRoad

  constructor(random: () => number) {
    const name = `ns${randomBytes(4).toString('hex')}`
    execFileSync('ip', ['netns', 'add', this.namespace])
    this.#driver = new Driver(systemClock, systemTimers)
    this.#tun = new Tun(name, (packet) => this.#toStack.carry(packet))
    this.#toKernel = new FaultyRoad(random, (packet) => this.#tun.write(packet))
    this.stack = new Netstack({
      suite: nativeSuite,
      clock: systemClock,
      addresses: [STACK.v6, STACK.v4],
      transmit: (packet) => this.#toKernel.carry(packet),
      wake: (at) => this.#driver.wake(at),
      defer: setImmediate,
    })
    this.#toStack = new FaultyRoad(random, (packet) => this.stack.input(packet))
    this.#driver.add(this.stack)
    execFileSync('ip', ['link', 'set', name, 'netns', this.namespace])
    for (const command of [
      `link set lo up`,
      `link set ${name} mtu 1280 up`,
      `addr add ${KERNEL.v6}/64 dev ${name} nodad`,
      `addr add ${KERNEL.v4}/24 dev ${name}`,
    ]) {
      this.ip(command)
    }
    this.#tun.start()
  }

  set faults(faults: TunFaults) {
    this.#toStack.faults = faults
    this.#toKernel.faults = faults
  }

  /** Runs `ip` inside the namespace. */
  ip(command: string): void {
    execFileSync('ip', ['-n', this.namespace, ...command.split(' ')])
  }

  async close(): Promise<void> {
    this.stack.destroy()
    this.#driver.close()
    await this.#tun.close()
    execFileSync('ip', ['netns', 'delete', this.namespace])
  }
}

/** One direction: drops and holds back packets by a seeded chance. */
class FaultyRoad {
  faults: TunFaults = { loss: 0, reorder: 0 }
  readonly #random: () => number
  readonly #deliver: (packet: Uint8Array) => void
  #held: { packet: Uint8Array; after: number }[] = []

  constructor(random: () => number, deliver: (packet: Uint8Array) => void) {
    this.#random = random
    this.#deliver = deliver
  }

  carry(packet: Uint8Array): void {
    const { loss, reorder } = this.faults
    if (loss > 0 && this.#random() < loss) return
    if (reorder > 0 && this.#random() < reorder) {
      const held = { packet: Uint8Array.from(packet), after: 1 + Math.floor(this.#random() * MOST_OVERTAKING) }
      this.#held.push(held)
      setTimeout(() => this.#release(held), HELD_AT_MOST)
      return
    }
    this.#deliver(packet)
    if (this.#held.length === 0) return
    for (const held of [...this.#held]) if (--held.after <= 0) this.#release(held)
  }

  #release(held: { packet: Uint8Array; after: number }): void {
    const at = this.#held.indexOf(held)
    if (at < 0) return
    this.#held.splice(at, 1)
    this.#deliver(held.packet)
  }
}
