import { readFileSync } from 'node:fs'
import type { Native } from './native.ts'

/** include/uapi/asm-generic/mman-common.h, for x64 and both arms. */
const MADV_DONTNEED = 4

/** A stretch of the address space: its first byte, and the one behind its last. */
export interface Mapping {
  readonly from: number
  readonly to: number
}

/**
 * Takes out of this process what only its start has needed: pages of Node's own file, two thirds of which no running engine reads again, and
 * what malloc holds free. A page of the file that is read after all comes back from the page cache, by a fault of less than a
 * microsecond; until then it is the first that the kernel may use otherwise. Returns the bytes that were looked through.
 */
export function giveBackStartMemory(native: Native, smaps = readFileSync('/proc/self/smaps', 'utf8')): number {
  const libc = native.library(null)
  const madvise = libc.function('int madvise(uintptr_t from, size_t length, int advice)')
  let bytes = 0
  // Addresses by which the kernel itself names what is mapped there, and stays so for as long as the process lives.
  for (const { from, to } of unwrittenMappings(smaps, process.execPath))
    if (madvise(from, to - from, MADV_DONTNEED) === 0) bytes += to - from
  libc.function('int malloc_trim(size_t left)')(0)
  return bytes
}

/** The mappings of the file `path` in what /proc/PID/smaps says (proc_pid_smaps(5)) in which no page is this process's alone. */
export function unwrittenMappings(smaps: string, path: string): Mapping[] {
  const found: Mapping[] = []
  let mapping: Mapping | undefined
  for (const line of smaps.split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +(.*)$/.exec(line)
    if (head !== null) {
      const [, from, to, rights, name] = head as unknown as [string, string, string, string, string]
      const isUnwritable = rights[1] === '-' && rights[3] === 'p'
      mapping = isUnwritable && name === path ? { from: Number.parseInt(from, 16), to: Number.parseInt(to, 16) } : undefined
    } else if (mapping !== undefined && /^Anonymous: +0 kB$/.test(line)) found.push(mapping)
  }
  return found
}
