import type { StatementSource } from '#broker/fleet/statement-source.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry, RegistryChange } from '#broker/registry/registry.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { encodeParts } from '#shared/fleet/statement-parts.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { milliseconds } from '#shared/time/instant.ts'

interface CourierParts {
  source: Pick<StatementSource, 'forDevice'>
  registry: Pick<Registry, 'directory'>
  timers: Timers
}

/** Somebody who wants to hear of changes. */
interface Listener {
  readonly deviceId: number
  send(message: Uint8Array): void
  /** Digest of the set that it holds, in hex. */
  held: string
}

/** Changes that come in one breath are told together; grants must act within a second (DESIGN D12). */
const pause = milliseconds(100)

/** Tells devices that listen what they may believe: at once what they do not hold yet, and then every change. */
export class StatementCourier {
  readonly #parts: CourierParts
  readonly #listeners = new Set<Listener>()
  /** Whom the next round is about: certain devices, or everybody. */
  #due: Set<number> | 'all' = new Set()
  #timer: Timer | undefined

  constructor(parts: CourierParts) {
    this.#parts = parts
  }

  /** `held`: digest of what the device holds already, in hex. Returns how to stop. */
  listen(deviceId: number, held: string, send: (message: Uint8Array) => void): () => void {
    const listener: Listener = { deviceId, held, send }
    this.#listeners.add(listener)
    this.#tell(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Of an operator or a grant every device may be told; of a device it alone. */
  changed(change: RegistryChange): void {
    if (this.#listeners.size === 0) return
    if (!('principal' in change) || change.principal.kind !== 'device') this.#due = 'all'
    else if (this.#due !== 'all') this.#due.add(change.principal.id)
    this.#timer ??= this.#parts.timers.setTimer(pause, () => this.#round())
  }

  close(): void {
    this.#timer?.clear()
    this.#listeners.clear()
  }

  #round(): void {
    const due = this.#due
    this.#timer = undefined
    this.#due = new Set()
    for (const listener of this.#listeners) if (due === 'all' || due.has(listener.deviceId)) this.#tell(listener)
  }

  #tell(listener: Listener): void {
    const device: Principal | undefined = this.#parts.registry.directory.byId(listener.deviceId)
    if (device === undefined || device.revokedAt !== undefined) return
    const { digest, statements } = this.#parts.source.forDevice(device)
    const name = toHex(digest)
    if (name === listener.held) return
    listener.held = name
    for (const message of encodeParts(digest, statements)) listener.send(message)
  }
}
