/** Wall-clock ms as ISO 8601 in UTC; null where there is no time. */
export const isoTime = (ms: number | undefined | null): string | null =>
  ms === undefined || ms === null ? null : new Date(ms).toISOString()
