import { nativeSuite } from '#shared/crypto/native.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { PacketEngine } from '#shared/platform/packet-engine.ts'
import { seen } from '#test/lab/seen.ts'

export const HUB4 = '10.77.0.1'
export const HUB6 = 'fd77::1'
/** What the hub leads to. */
export const WHOLE = ['10.77.0.0/16', 'fd77::/64']

/** What stands behind an engine. */
export function netstackOn(engine: PacketEngine, addresses: readonly string[]): Netstack {
  const netstack = new Netstack({
    suite: nativeSuite,
    clock: systemClock,
    addresses,
    transmit: (packet) => engine.send(packet),
    wake: (at) => engine.driver.wake(at),
  })
  engine.drive(netstack)
  return netstack
}

/** Resolves as soon as it holds. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, timeoutMs = 10_000): Promise<void> {
  await seen(holds, Boolean, { timeoutMs, everyMs: 5, otherwise: () => `it never came true that ${what}` })
}
