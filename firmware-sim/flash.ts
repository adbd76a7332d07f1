import type { OutboxLevel, OutboxRow, OutboxStore, Priority, Shed } from '#shared/telemetry/outbox.ts'

/**
 * A board's flash, in memory: it keeps what was committed across `restart`, loses what was not, counts its writes, and can be
 * full or lose power at the next commit. Everything that a simulated device must not forget lives here.
 */
export class Flash {
  /** Commits so far: flash wears by them. */
  commits = 0
  readonly #values = new Map<string, Uint8Array>()
  #failure: 'full' | 'power-cut' | undefined

  /** The commits from now on fail so, until `repair`. */
  breakDown(failure: 'full' | 'power-cut'): void {
    this.#failure = failure
  }

  repair(): void {
    this.#failure = undefined
  }

  /** Makes a change durable, whole, or throws and changes nothing. */
  commit(change: () => void): void {
    if (this.#failure) throw new Error(this.#failure === 'full' ? 'ENOSPC: the simulated flash is full' : 'the power was cut')
    this.commits++
    change()
  }

  read(name: string): Uint8Array | undefined {
    return this.#values.get(name)
  }

  write(name: string, value: Uint8Array): void {
    this.commit(() => this.#values.set(name, value.slice()))
  }
}

/** The agent's outbox on simulated flash; rows are in order of (boot, seq). */
export class FlashOutbox implements OutboxStore {
  readonly #flash: Flash
  #rows: OutboxRow[] = []
  #boot = 0

  constructor(flash: Flash) {
    this.#flash = flash
  }

  async nextBoot(least = 1): Promise<number> {
    this.#flash.commit(() => {
      this.#boot = Math.max(this.#boot + 1, least)
    })
    return this.#boot
  }

  async level(): Promise<OutboxLevel> {
    return levelOf(this.#rows)
  }

  async append(rows: readonly OutboxRow[]): Promise<void> {
    this.#flash.commit(() => this.#rows.push(...rows))
  }

  async after(boot: number, seq: number, limit: number): Promise<OutboxRow[]> {
    return this.#rows.filter((row) => row.boot > boot || (row.boot === boot && row.seq > seq)).slice(0, limit)
  }

  async remove(boot: number, seq: number): Promise<OutboxLevel> {
    const goes = (row: OutboxRow): boolean => row.boot < boot || (row.boot === boot && row.seq <= seq)
    const gone = levelOf(this.#rows.filter(goes))
    this.#flash.commit(() => {
      this.#rows = this.#rows.filter((row) => !goes(row))
    })
    return gone
  }

  async shed(priority: Priority, rows: number, gap: (shed: Shed) => OutboxRow): Promise<Shed> {
    const going = this.#rows.filter((row) => row.priority === priority).slice(0, rows)
    const shed = { ...levelOf(going), firstAt: going[0]?.at ?? 0, lastAt: going.at(-1)?.at ?? 0 }
    if (going.length > 0)
      this.#flash.commit(() => {
        const gone = new Set(going)
        this.#rows = [...this.#rows.filter((row) => !gone.has(row)), gap(shed)]
      })
    return shed
  }

  async close(): Promise<void> {}
}

const levelOf = (rows: readonly OutboxRow[]): OutboxLevel => ({
  rows: rows.length,
  bytes: rows.reduce((sum, row) => sum + row.bytes, 0),
})
