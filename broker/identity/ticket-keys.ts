import type { Suite } from '#shared/crypto/suite.ts'
import { type FilePort, readSecret, writeDurably } from '#shared/platform/files.ts'
import { type Clock, hours, type WallTime, wallTime } from '#shared/time/instant.ts'

/** How long one key seals, and how long it opens beside its successor. */
const sealFor = hours(24)
/** Bytes. */
const keyLength = 32

interface TicketKey {
  readonly madeAt: WallTime
  readonly bytes: Uint8Array
}

/**
 * The keys that seal session tickets of IKE (RFC 5723), on disk so that a fleet returns after a restart without public-key work. Whoever
 * has one can read the sessions of the tickets that it sealed: hence a new one each day, and the one of the day before as the oldest.
 */
export class TicketKeys {
  readonly #path: string
  readonly #suite: Suite
  readonly #clock: Clock
  readonly #port: FilePort
  #keys: readonly TicketKey[] = []

  private constructor(path: string, { suite, clock, port }: { suite: Suite; clock: Clock; port: FilePort }) {
    this.#path = path
    this.#suite = suite
    this.#clock = clock
    this.#port = port
  }

  static async open(path: string, ports: { suite: Suite; clock: Clock; port: FilePort }): Promise<TicketKeys> {
    const keys = new TicketKeys(path, ports)
    const found = await readSecret(path, ports.port)
    if (found !== undefined) keys.#keys = parse(Buffer.from(found).toString('latin1'))
    await keys.rotate()
    return keys
  }

  /** The one that seals comes first. */
  get keys(): readonly Uint8Array[] {
    return this.#keys.map(({ bytes }) => bytes)
  }

  /** A new key where the newest has sealed for a day, or is of the future of this clock; true where `keys` changed. */
  async rotate(): Promise<boolean> {
    const now = this.#clock.wall()
    const isOf =
      (span: number): ((key: TicketKey) => boolean) =>
      ({ madeAt }) =>
        now >= madeAt && now - madeAt < span
    const live = this.#keys.filter(isOf(2 * sealFor))
    const [newest] = live
    if (newest && isOf(sealFor)(newest) && live.length === this.#keys.length) return false
    const fresh = newest && isOf(sealFor)(newest) ? [] : [{ madeAt: now, bytes: this.#suite.random(keyLength) }]
    const keys = [...fresh, ...live].slice(0, 2)
    await writeDurably(this.#path, keys.map(line).join(''), {}, this.#port)
    this.#keys = keys
    return true
  }
}

const line = ({ madeAt, bytes }: TicketKey): string => `${madeAt} ${Buffer.from(bytes).toString('base64')}\n`

/** Lines that are none are left out: tickets are a convenience. */
function parse(text: string): TicketKey[] {
  return text.split('\n').flatMap((row) => {
    const [at, base64 = ''] = row.split(' ')
    const bytes = Uint8Array.from(Buffer.from(base64, 'base64'))
    return bytes.length === keyLength && Number.isSafeInteger(Number(at)) ? [{ madeAt: wallTime(Number(at)), bytes }] : []
  })
}
