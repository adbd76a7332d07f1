/** A point on a monotonic clock, in milliseconds (fractions allowed). Only differences have a meaning. */
export type Instant = number & { readonly __unit: 'monotonic ms' }

/** A span of time in milliseconds. */
export type Duration = number & { readonly __unit: 'ms' }

/** A wall-clock time in milliseconds since 1970-01-01T00:00:00Z. Never decides a protocol step (DESIGN D5). */
export type WallTime = number & { readonly __unit: 'wall ms' }

export const instant = (ms: number): Instant => ms as Instant
export const wallTime = (ms: number): WallTime => ms as WallTime
export const milliseconds = (n: number): Duration => n as Duration
export const seconds = (n: number): Duration => (n * 1_000) as Duration
export const minutes = (n: number): Duration => (n * 60_000) as Duration
export const hours = (n: number): Duration => (n * 3_600_000) as Duration
export const days = (n: number): Duration => (n * 86_400_000) as Duration

export const after = (at: Instant, span: Duration): Instant => (at + span) as Instant
export const elapsed = (from: Instant, to: Instant): Duration => (to - from) as Duration

/** The port through which shells give time to cores; `shared/platform/clock.ts` and the simulator implement it. */
export interface Clock {
  now(): Instant
  wall(): WallTime
}
