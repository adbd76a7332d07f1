import type { DirectEvent, PartingReason } from '#agent/core/direct/direct-host.ts'
import type { PathWish } from '#agent/core/direct/direct-peer.ts'
import type { DirectStatus } from '#agent/core/direct/direct-status.ts'
import { directTarget } from '#agent/core/direct/direct-target.ts'
import type { FleetTrust } from '#agent/core/fleet-trust.ts'
import type { Tunnel } from '#agent/io/tunnel.ts'
import type { KnownDevice, KnownDevices } from '#agent/operator/io/known-devices.ts'
import type { Device } from '#agent/operator/operator-api.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Clock, type Duration, elapsed, type Instant, seconds } from '#shared/time/instant.ts'
import { isCarried } from '#shared/wire/endpoint.ts'

/** Who asks why a connection has closed asks at once. */
const partingLife = seconds(10)

interface DirectDevicesOptions {
  readonly tunnel: Tunnel
  readonly trust: Pick<FleetTrust, 'judge'>
  /** Our tunnel key, 32 bytes. */
  readonly tunnelKey: Uint8Array
  readonly known: KnownDevices
  readonly timers: Timers
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

/** The devices that the operator's tunnel seeks directly, and what is remembered of them for a day without a broker. */
export class DirectDevices {
  readonly #options: DirectDevicesOptions
  readonly #waiting = new Set<() => void>()
  /** Whose right to be reached has ended: by name. */
  readonly #partings = new Map<string, { why: PartingReason; at: Instant }>()
  /** Why a device cannot be sought: by name. */
  readonly #refusals = new Map<string, string>()

  constructor(options: DirectDevicesOptions) {
    this.#options = options
  }

  /** What an earlier command learnt of it. */
  known(name: string): KnownDevice | undefined {
    return this.#options.known.of(name)
  }

  /** From now on its packets take an association with it as soon as there is one. What the broker shows is remembered. */
  seek(device: Device, wish: PathWish | undefined): void {
    const { tunnel, trust, tunnelKey, known, log } = this.#options
    const statements = (device.statements ?? []).map((text) => Uint8Array.from(Buffer.from(text, 'base64')))
    if (statements.length === 0 || tunnel.core.direct === undefined) return
    try {
      const target = directTarget(device.name, statements, {
        own: tunnelKey,
        judge: (bytes, beside) => trust.judge(bytes, beside),
      })
      tunnel.core.direct.seek(target, wish ?? 'auto', known.of(device.name)?.places ?? [])
      known.remember(device)
      this.#refusals.delete(device.name)
    } catch (error) {
      const { code, message } = toAditError(error)
      this.#refusals.set(device.name, message)
      // What was believed before is not believed any more: nothing waits for an association that its device would refuse.
      // One whose host key is taken at first use must not go on by the hub in the clear, where somebody else could show another.
      tunnel.core.direct.leave(device.name, device.firstUseSealed ? 'withdrawn' : 'left')
      log.info({ code, name: device.name }, message)
    }
  }

  event(event: DirectEvent): void {
    const { tunnel, known, clock } = this.#options
    if (event.kind === 'closed' && event.why !== 'left') this.#partings.set(event.name, { why: event.why, at: clock.now() })
    if (event.kind === 'established') this.#partings.delete(event.name)
    if (event.kind === 'introduced') {
      for (const peer of tunnel.core.direct?.peers() ?? []) if (peer.name === event.name) known.met(event.name, [...peer.places])
    }
    for (const look of [...this.#waiting]) look()
  }

  /** Whether packets reach the device without the broker. */
  isDirect(name: string): boolean {
    for (const peer of this.#options.tunnel.core.direct?.peers() ?? []) {
      if (peer.name !== name || !peer.isEstablished) continue
      const { endpoint } = peer.association
      if (peer.paths.isDirect || (endpoint !== undefined && !isCarried(endpoint))) return true
    }
    return false
  }

  /** Resolves with true when it is, with false when it is not after `patience`. */
  meets(name: string, patience: Duration): Promise<boolean> {
    if (this.isDirect(name)) return Promise.resolve(true)
    return new Promise((resolve) => {
      const finish = (met: boolean): void => {
        timer.clear()
        this.#waiting.delete(look)
        resolve(met)
      }
      const look = (): void => {
        if (this.isDirect(name)) finish(true)
      }
      const timer = this.#options.timers.setTimer(patience, () => finish(this.isDirect(name)))
      this.#waiting.add(look)
    })
  }

  /** Of each device that is sought. */
  statuses(): DirectStatus[] {
    const { direct } = this.#options.tunnel.core
    if (direct === undefined) return []
    return [...direct.peers()].flatMap(({ name }) => direct.status(name) ?? [])
  }

  /** Why the device may be reached no more, where that has ended of late. */
  parting(name: string): AditError | undefined {
    const parting = this.#partings.get(name)
    if (parting === undefined || elapsed(parting.at, this.#options.clock.now()) > partingLife) return undefined
    const what =
      parting.why === 'expired' ? 'Your right to reach NAME has come to its end' : 'Your right to reach NAME was withdrawn'
    const mend = `Ask an administrator: adit-broker grant add. See what is known: adit why ${name}.`
    return new AditError('forbidden', `${what.replace('NAME', name)}: its connections were closed.`, mend)
  }

  /**
   * Throws AditError `statement-refused` where packets to the device would go by the hub in the clear: its host key is not known, so that
   * whoever has the broker could answer in its place.
   */
  requireSealed(name: string): void {
    for (const peer of this.#options.tunnel.core.direct?.peers() ?? []) if (peer.name === name) return
    throw new AditError(
      'statement-refused',
      `There is no association with ${name}, whose ssh host key nobody has signed. ${this.#refusals.get(name) ?? ''}`.trim(),
      'Have an administrator sign what waits: adit fleet sign.',
    )
  }

  /** Why there is no association with a device that was asked for. */
  refusal(name: string): string | undefined {
    return this.#refusals.get(name)
  }
}
