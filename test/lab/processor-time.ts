import { readFileSync } from 'node:fs'

/** Of the kernel's accounts in /proc/PID/stat: clock ticks a second (sysconf(_SC_CLK_TCK) is 100 on every Linux that Node knows). */
const ticksPerSecond = 100

/** Microseconds of processor that a process has used, all threads, user and system. */
export function processorMicrosOf(pid: number): number {
  // proc(5): utime and stime are fields 14 and 15; the name before them may hold anything.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / ticksPerSecond
}
