import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry, type RegistryOptions } from '#broker/registry/registry.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { silentLog } from '#shared/platform/log.ts'
import { type Clock, instant, wallTime } from '#shared/time/instant.ts'

/** Wall time and monotonic time that stand still until a test moves them. */
export class ManualClock implements Clock {
  ms = Date.UTC(2026, 10, 22)
  now = () => instant(this.ms)
  wall = () => wallTime(this.ms)
}

export interface RegistryFixture {
  registry: Registry
  readonly folder: string
  readonly clock: ManualClock
  /** Closes the registry and opens it again from the disk. */
  reopen(): Promise<Registry>
  end(): Promise<void>
}

/** A registry of its own in a fresh folder. */
export async function openRegistry(options: RegistryOptions = {}): Promise<RegistryFixture> {
  const folder = mkdtempSync(join(tmpdir(), 'adit-registry-'))
  const clock = new ManualClock()
  const open = (): Promise<Registry> =>
    Registry.open(join(folder, 'data'), { clock, suite: nativeSuite, log: silentLog }, options)
  const fixture: RegistryFixture = {
    registry: await open(),
    folder: join(folder, 'data'),
    clock,
    async reopen() {
      await fixture.registry.close()
      fixture.registry = await open()
      return fixture.registry
    },
    async end() {
      await fixture.registry.close()
      rmSync(folder, { recursive: true })
    },
  }
  return fixture
}

export const randomHex = (bytes: number): string => toHex(nativeSuite.random(bytes))
export const randomKeys = (): { spkiSha256: string; tunnelKey: string } => ({
  spkiSha256: randomHex(32),
  tunnelKey: randomHex(32),
})
