import { readFileSync } from 'node:fs'
import { processorMicrosOf } from '#test/lab/processor-time.ts'

/** Seconds of processor that the processes have used, all threads, user and system. */
export const processorSecondsOf = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + processorMicrosOf(pid), 0) / 1e6

/** Resident memory of the processes, megabytes (10^6): all of it, and without the share of others in what is shared (proc(5), smaps_rollup). */
export function memoryOf(pids: readonly number[]): { resident: number; proportional: number } {
  const sum = (file: string, field: RegExp): number =>
    pids.reduce((total, pid) => total + Number(field.exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'))?.[1] ?? Number.NaN), 0)
  return {
    resident: (sum('status', /^VmRSS:\s+(\d+) kB/m) * 1024) / 1e6,
    proportional: (sum('smaps_rollup', /^Pss:\s+(\d+) kB/m) * 1024) / 1e6,
  }
}
