import type { PresenceStore, TimestampRecord } from '#broker/registry/presence.ts'

/**
 * The greatest TAI64N taken from each tunnel key: what the noise suite must know over restarts, so that no old initiation is taken twice
 * . Grown ones wait here to be written.
 */
export class TakenTimestamps {
  readonly #taken: Map<string, Uint8Array>
  readonly #unwritten = new Map<string, Uint8Array>()

  private constructor(records: readonly TimestampRecord[]) {
    this.#taken = new Map(records.map(({ tunnelKey, timestamp }) => [tunnelKey, timestamp]))
  }

  static async load(store: Pick<PresenceStore, 'loadTimestamps'>): Promise<TakenTimestamps> {
    return new TakenTimestamps(await store.loadTimestamps())
  }

  /** 12 bytes. */
  of(tunnelKey: string): Uint8Array | undefined {
    return this.#taken.get(tunnelKey)
  }

  /** It is to be on disk before long. */
  took(tunnelKey: string, timestamp: Uint8Array): void {
    this.#taken.set(tunnelKey, timestamp)
    this.#unwritten.set(tunnelKey, timestamp)
  }

  /** Those that are not on disk; the caller writes them, or gives them back. */
  takeUnwritten(): TimestampRecord[] {
    const records = [...this.#unwritten].map(([tunnelKey, timestamp]) => ({ tunnelKey, timestamp }))
    this.#unwritten.clear()
    return records
  }

  /** These could not be written. */
  giveBack(records: readonly TimestampRecord[]): void {
    for (const { tunnelKey, timestamp } of records) if (!this.#unwritten.has(tunnelKey)) this.#unwritten.set(tunnelKey, timestamp)
  }
}
