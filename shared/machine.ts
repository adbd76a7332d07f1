import type { Instant } from '#shared/time/instant.ts'

/**
 * The driving contract of every protocol core on the control lane: mutate once with `handle`, drain with `poll`
 * until `undefined`, then sleep until `deadline`. A machine opens no socket, reads no clock, touches no disk.
 */
export interface Machine<Input, Output> {
  /** A rejected input leaves the machine as it was. */
  handle(input: Input, now: Instant): void
  /** Take outputs until `undefined`. */
  poll(): Output | undefined
  /** When to call `handle` with a time input at the latest, and why. Waking early is harmless. */
  deadline(): Deadline | undefined
}

export interface Deadline {
  at: Instant
  /** Shown in diagnostics: "rekey after 120 s", "retransmit initiation". */
  why: string
}

/** The earlier of two, where there are any. */
export const soonest = (a: Deadline | undefined, b: Deadline | undefined): Deadline | undefined =>
  a === undefined ? b : b === undefined || a.at <= b.at ? a : b
