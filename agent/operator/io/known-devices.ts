import type { Device } from '#agent/operator/operator-api.ts'
import { toAditError } from '#shared/errors.ts'
import { type Candidate, decodeCandidates, encodeCandidates } from '#shared/nat/candidate.ts'
import { readIfPresent, writeDurably } from '#shared/platform/files.ts'
import type { Log } from '#shared/platform/log.ts'

export interface KnownDevice {
  /** As the broker described it last, with its statements. */
  readonly device: Device
  /** Where it was met, or said that it may be. */
  readonly places: readonly Candidate[]
}

interface StoredDevice {
  readonly device: Device
  /** Base64 of the wire form of candidates. */
  readonly places: string
}

/** Devices remembered; those that were not used for longest are forgotten. */
const deviceLimit = 256

/**
 * `STATE/known-devices.json`, 0600: with it a device on the same network is reached while no broker is. What it says counts only as far
 * as its statements are signed, and as long as they hold.
 */
export class KnownDevices {
  readonly #path: string
  readonly #log: Log
  readonly #devices: Map<string, KnownDevice>
  #saved: string
  #saving: Promise<void> = Promise.resolve()

  private constructor(path: string, log: Log, devices: Map<string, KnownDevice>) {
    this.#path = path
    this.#log = log
    this.#devices = devices
    this.#saved = this.#snapshot()
  }

  /** A damaged file costs only what it remembered. */
  static async open(path: string, log: Log): Promise<KnownDevices> {
    try {
      const bytes = await readIfPresent(path)
      const stored = bytes === undefined ? {} : (JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, StoredDevice>)
      const entries = Object.entries(stored).map(([name, { device, places }]): [string, KnownDevice] => [
        name,
        { device, places: decodeCandidates(Uint8Array.from(Buffer.from(places, 'base64'))) },
      ])
      return new KnownDevices(path, log, new Map(entries))
    } catch (error) {
      log.warn({ code: toAditError(error).code }, `${path} is damaged: what was known of devices is forgotten`)
      return new KnownDevices(path, log, new Map())
    }
  }

  of(name: string): KnownDevice | undefined {
    return this.#devices.get(name)
  }

  remember(device: Device): void {
    this.#put(device.name, { device, places: this.of(device.name)?.places ?? [] })
  }

  met(name: string, places: readonly Candidate[]): void {
    const known = this.of(name)
    if (known !== undefined && places.length > 0) this.#put(name, { ...known, places })
  }

  /** Resolves when everything is on disk that is to be. */
  saved(): Promise<void> {
    return this.#saving
  }

  #put(name: string, known: KnownDevice): void {
    this.#devices.delete(name)
    this.#devices.set(name, known)
    if (this.#devices.size > deviceLimit) this.#devices.delete(this.#devices.keys().next().value!)
    const snapshot = this.#snapshot()
    if (snapshot === this.#saved) return
    this.#saved = snapshot
    this.#saving = this.#saving
      .then(() => writeDurably(this.#path, snapshot))
      .catch((error) => this.#log.warn({ code: toAditError(error).code }, 'what is known of devices could not be kept'))
  }

  #snapshot(): string {
    const entries = [...this.#devices].map(([name, { device, places }]): [string, StoredDevice] => {
      // What changes by the second is no knowledge.
      const lasting = { ...device, evidenceAgeSeconds: null, keepaliveAgeSeconds: null }
      return [name, { device: lasting, places: Buffer.from(encodeCandidates(places)).toString('base64') }]
    })
    return `${JSON.stringify(Object.fromEntries(entries))}\n`
  }
}
