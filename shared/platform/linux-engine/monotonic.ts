/** Milliseconds on the machine's monotonic clock. All threads of a process see the same; `performance.now` begins anew in each. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000 + nanoseconds / 1e6
}
