import { readIfPresent, writeDurably } from '#shared/platform/files.ts'
import { type Duration, days, milliseconds, type WallTime } from '#shared/time/instant.ts'
import { quarantine } from './quarantine.ts'

/** Networks that are remembered; what was learned longest ago is forgotten first. */
const MOST_NETWORKS = 32
/** Routers are replaced and reset: what was learned so long ago is learned anew. */
const STALE_AFTER = days(30)
/** "Nothing can be learned here" is believed for a shorter time: a broker may have been renewed. */
const UNKNOWN_STALE_AFTER = days(2)

export interface KnownNetwork {
  /** Between two keepalives; undefined: it was tried, and could not be learned. */
  readonly interval: Duration | undefined
  /** Whether a longer one would have been found, had it been of use. */
  readonly capped: boolean
}

interface Entry {
  interval: number | null
  capped: boolean
  /** Wall-clock ms. */
  learnedAt: number
}

interface Memory {
  salt: string
  networks: Record<string, Entry>
}

/**
 * STATE/networks.json: which keepalive interval which network bears, by fingerprint (`shared/platform/network-fingerprint.ts`). Nothing
 * in it names a place. Damage costs only what was learned: the file is put aside, and filled anew.
 */
export class NetworkMemory {
  readonly #path: string
  readonly #memory: Memory
  #writing: Promise<void> = Promise.resolve()

  private constructor(path: string, memory: Memory) {
    this.#path = path
    this.#memory = memory
  }

  /** `salt` serves a file that begins; it keeps fingerprints of one device from being looked for in another's file. */
  static async open(path: string, salt: string): Promise<NetworkMemory> {
    const bytes = await readIfPresent(path).catch(() => undefined)
    const memory = bytes && parse(Buffer.from(bytes).toString('utf8'))
    if (bytes !== undefined && memory === undefined) await quarantine(path).catch(() => {})
    return new NetworkMemory(path, memory ?? { salt, networks: {} })
  }

  get salt(): string {
    return this.#memory.salt
  }

  /** What is known of this network, unless it is stale. */
  recall(fingerprint: string, now: WallTime): KnownNetwork | undefined {
    const entry = this.#memory.networks[fingerprint]
    if (entry === undefined) return undefined
    const age = now - entry.learnedAt
    // A clock that was set back proves nothing.
    if (age < 0 || age > (entry.interval === null ? UNKNOWN_STALE_AFTER : STALE_AFTER)) return undefined
    return { interval: entry.interval === null ? undefined : milliseconds(entry.interval), capped: entry.capped }
  }

  /** Written in the background; a disk that refuses costs only the memory. */
  learned(fingerprint: string, { interval, capped }: KnownNetwork, now: WallTime): void {
    const { networks } = this.#memory
    networks[fingerprint] = { interval: interval === undefined ? null : Math.round(interval), capped, learnedAt: now }
    const oldest = Object.entries(networks)
      .sort(([, a], [, b]) => b.learnedAt - a.learnedAt)
      .slice(MOST_NETWORKS)
    for (const [name] of oldest) delete networks[name]
    this.#save()
  }

  forget(fingerprint: string): void {
    if (!(fingerprint in this.#memory.networks)) return
    delete this.#memory.networks[fingerprint]
    this.#save()
  }

  /** Resolves when what was learned is on disk. */
  saved(): Promise<void> {
    return this.#writing
  }

  #save(): void {
    const text = `${JSON.stringify(this.#memory, null, 2)}\n`
    this.#writing = this.#writing.then(() => writeDurably(this.#path, text)).catch(() => {})
  }
}

function parse(text: string): Memory | undefined {
  try {
    const { salt, networks } = JSON.parse(text) as Memory
    if (typeof salt !== 'string' || typeof networks !== 'object' || networks === null) return undefined
    const sound = Object.entries(networks).filter(([name, entry]) => /^[0-9a-f]{32}$/.test(name) && isSound(entry))
    return { salt, networks: Object.fromEntries(sound.slice(0, MOST_NETWORKS)) }
  } catch {
    return undefined
  }
}

const isSound = (entry: Entry | null): boolean => entry !== null && isWhole(entry)

const isWhole = ({ interval, capped, learnedAt }: Entry): boolean =>
  (interval === null || (Number.isFinite(interval) && interval >= 5_000 && interval <= 600_000)) &&
  typeof capped === 'boolean' &&
  Number.isFinite(learnedAt)
