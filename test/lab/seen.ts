import { setTimeout as wait } from 'node:timers/promises'

interface Patience<T> {
  timeoutMs: number
  everyMs?: number
  /** What to fail with, given what was seen last. */
  otherwise: (last: T) => string
}

/** Looks again and again; resolves to what was seen as soon as that is `enough`. */
export async function seen<T>(
  look: () => T | Promise<T>,
  enough: (value: T) => boolean,
  { timeoutMs, everyMs = 100, otherwise }: Patience<T>,
): Promise<T> {
  for (const end = performance.now() + timeoutMs; ; await wait(everyMs)) {
    const value = await look()
    if (enough(value)) return value
    if (performance.now() > end) throw new Error(otherwise(value))
  }
}
