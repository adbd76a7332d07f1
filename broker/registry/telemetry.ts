import type { Reading } from '#shared/telemetry/reading.ts'

export interface TelemetryBatch {
  readonly principalId: number
  readonly boot: number
  readonly readings: readonly Reading[]
}

export interface InsertResult {
  readonly inserted: number
  readonly duplicates: number
}

export interface StoredReading extends Reading {
  readonly boot: number
  /** Wall-clock ms when the broker stored it. */
  readonly receivedAt: number
}

export interface TelemetryQuery {
  deviceId: number
  /** A cursor that an earlier answer gave as `next`; from the beginning where undefined. */
  after?: string
  /** 1,000 unless said otherwise, 10,000 at most. */
  limit?: number
  /** Only readings of this name. */
  name?: string
  /** Only the last `limit` readings, still in ascending order; `after` is not looked at. */
  newest?: boolean
}

/** Readings, in the order in which they were stored. */
export declare class TelemetryStore {
  /** Resolves after the commit; all of it is on disk then. (device, boot, seq) that are there already count as duplicates. */
  insert(batches: readonly TelemetryBatch[]): Promise<InsertResult>
  /** Throws AditError `usage` on a cursor that is none. */
  query(query: TelemetryQuery): Promise<{ readings: StoredReading[]; next: string }>
  /** Tells of each device that has new readings, after their commit: for long polls. Returns how to stop. */
  onArrival(listener: (principalId: number) => void): () => void
}
