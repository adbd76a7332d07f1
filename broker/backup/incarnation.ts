import type { Registry } from '#broker/registry/registry.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Incarnation, isIncarnation } from './backup-header.ts'

/** DATA/restored.json: what a restore leaves for the first program that opens the folder. */
export const restoredName = 'restored.json'

export interface RestoredNote {
  readonly incarnation: Incarnation
  /** Whose copy it is. */
  readonly from: Incarnation
  /** Wall-clock ms: of the backup, and of the restore. */
  readonly made: number
  readonly restored: number
}

const ownKey = 'broker.incarnation'
const twinKey = 'broker.twins'
/** Other brokers remembered. */
const mostTwins = 8

/** Another broker of this fleet that an agent has met. */
export interface Twin extends Incarnation {
  /** `later`: restored from a backup of ours, or of what came of it; `parallel`: of the same backup as we; `former`: what we were restored from. */
  readonly kind: 'later' | 'parallel' | 'former'
  /** Who told of it, and when it did last; wall-clock ms. */
  readonly toldBy: string
  readonly at: number
}

/**
 * Which life of its data folder a broker is. Two brokers with one CA would each issue, revoke and count by themselves: agents say whom else
 * they have met, and it is told to whoever runs this one.
 */
export class IncarnationDesk {
  readonly #registry: Pick<Registry, 'settings' | 'audit'>
  #own: Incarnation
  #twins: readonly Twin[]

  private constructor(registry: Pick<Registry, 'settings' | 'audit'>, own: Incarnation, twins: readonly Twin[]) {
    this.#registry = registry
    this.#own = own
    this.#twins = twins
  }

  static async open(registry: Pick<Registry, 'settings' | 'audit'>, suite: Pick<Suite, 'random'>): Promise<IncarnationDesk> {
    const own = await ownIncarnation(registry, suite)
    return new IncarnationDesk(registry, own, parse<Twin[]>(await registry.settings.get(twinKey)) ?? [])
  }

  get own(): Incarnation {
    return this.#own
  }

  get twins(): readonly Twin[] {
    return this.#twins
  }

  /** What agents keep and say again: `2.0123…`. */
  get text(): string {
    return incarnationText(this.own)
  }

  /** `met`: the incarnations that an agent has met, the latest first, as it says them (`2.0123…,1.4567…`). */
  async hear(met: string | undefined, agent: string, now: number): Promise<void> {
    const seen = (met ?? '')
      .slice(0, 512)
      .split(',')
      .flatMap((text) => parseIncarnation(text.trim()) ?? [])
    const ours = seen.findIndex(({ id }) => id === this.own.id)
    for (const [at, other] of seen.entries()) {
      const kind = this.#kindOf(other, at, ours)
      if (kind !== undefined) await this.#tell({ ...other, kind, toldBy: agent, at: now })
    }
  }

  /** Somebody has looked into it: what is told from now on is news again. */
  async forget(): Promise<void> {
    this.#twins = []
    await this.#registry.settings.set(twinKey, '[]')
  }

  /**
   * Begins the life that a restore has drawn. Claims that were open are open no more: they may have been used since the backup was made.
   * Doing it twice is doing it once.
   */
  async begin(note: RestoredNote, claims: Pick<Registry['claims'], 'list' | 'revoke'>): Promise<void> {
    const { incarnation, from, made, restored } = note
    if (this.#own.id === incarnation.id) return
    const { settings, audit } = this.#registry
    let closed = 0
    for (const claim of await claims.list()) {
      if (claim.revokedAt !== undefined) continue
      await claims.revoke(claim.id, 'restore')
      closed++
    }
    const detail = { epoch: incarnation.epoch, id: incarnation.id, from, made, restored, claims: closed }
    await audit.append({ actor: 'restore', action: 'broker.restore', subject: 'broker', detail })
    await this.forget()
    await settings.set(ownKey, JSON.stringify(incarnation))
    this.#own = incarnation
  }

  #kindOf(other: Incarnation, at: number, ours: number): Twin['kind'] | undefined {
    if (other.id === this.own.id) return undefined
    if (other.epoch > this.own.epoch) return 'later'
    if (other.epoch === this.own.epoch) return 'parallel'
    // That agents have known what we were restored from is as it should be; that they met it after us is not.
    return ours >= 0 && at < ours ? 'former' : undefined
  }

  async #tell(twin: Twin): Promise<void> {
    const known = this.#twins.find(({ id }) => id === twin.id)
    // Written once an hour at most: a thousand agents say the same.
    if (known && twin.at - known.at < 3_600_000 && twin.at >= known.at) return
    this.#twins = [twin, ...this.#twins.filter(({ id }) => id !== twin.id)].slice(0, mostTwins)
    await this.#registry.settings.set(twinKey, JSON.stringify(this.#twins))
    if (known) return
    const { id, epoch, kind } = twin
    await this.#registry.audit.append({
      actor: twin.toldBy,
      action: 'broker.twin',
      subject: 'broker',
      detail: { id, epoch, kind },
    })
  }
}

/** The one that is on record, or a first one. */
async function ownIncarnation(registry: Pick<Registry, 'settings'>, suite: Pick<Suite, 'random'>): Promise<Incarnation> {
  const known = parse<Incarnation>(await registry.settings.get(ownKey))
  if (isIncarnation(known)) return known
  const first = { id: Buffer.from(suite.random(16)).toString('hex'), epoch: 1 }
  await registry.settings.set(ownKey, JSON.stringify(first))
  return first
}

export function parseRestored(bytes: Uint8Array): RestoredNote | undefined {
  const note = parse<RestoredNote>(Buffer.from(bytes).toString('utf8'))
  return note !== undefined && isIncarnation(note.incarnation) && isIncarnation(note.from) ? note : undefined
}

export const incarnationText = ({ id, epoch }: Incarnation): string => `${epoch}.${id}`

function parseIncarnation(text: string): Incarnation | undefined {
  const [, epoch, id] = /^(\d{1,9})\.([0-9a-f]{32})$/.exec(text) ?? []
  return id === undefined ? undefined : { id, epoch: Number(epoch) }
}

function parse<T>(text: string | undefined): T | undefined {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}
