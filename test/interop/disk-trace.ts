import { basename } from 'node:path'

/** One effect on a folder's files, or a promise that was kept, in the order in which the kernel saw them. */
export type DiskOperation =
  | { kind: 'write'; file: string; at: number; data: Buffer; done: number }
  | { kind: 'truncate'; file: string; size: number; done: number }
  | { kind: 'unlink'; file: string; done: number }
  /** Everything done to the file (or, for '.', to the folder's names) before `began` is on disk. */
  | { kind: 'sync'; file: string; began: number; done: number }
  | { kind: 'promise'; text: string; done: number }

/** System calls to record: `strace -f -y -xx -s 70000 -e trace=…`. */
export const tracedCalls = 'openat,write,pwrite64,lseek,fsync,fdatasync,ftruncate,unlink,unlinkat,rename'

/**
 * Reads what strace wrote about the files of `folder`. A call that was interrupted in the log by another thread's counts from its
 * resumption, a sync covers what was done before it began: both err towards less being on disk.
 */
export function readTrace(text: string, folder: string): DiskOperation[] {
  const operations: DiskOperation[] = []
  const begun = new Map<string, { line: string; at: number }>()
  const places = new Map<string, number>()
  for (const [at, raw] of text.split('\n').entries()) {
    const thread = /^(\d+)\s+(.*)$/.exec(raw)
    if (!thread) continue
    const [, id = '', rest = ''] = thread
    if (rest.endsWith('<unfinished ...>')) {
      begun.set(id, { line: rest.slice(0, -'<unfinished ...>'.length), at })
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
    const before = resumed ? begun.get(id) : undefined
    const line = before ? before.line + (resumed?.[1] ?? '') : rest
    const operation = readCall(line, folder, places, { began: before?.at ?? at, done: at })
    if (operation) operations.push(operation)
  }
  return operations
}

function readCall(
  line: string,
  folder: string,
  places: Map<string, number>,
  time: { began: number; done: number },
): DiskOperation | undefined {
  const match = /^(\w+)\((.*)\)\s+=\s+(-?\d+)/.exec(line)
  if (!match) return undefined
  const [, call = '', args = '', resultText = ''] = match
  const result = Number(resultText)
  if (result < 0) return undefined
  if (call === 'unlink' || call === 'unlinkat') {
    const path = fromEscaped(/"((?:\\x[0-9a-f]{2})*)"/.exec(args)?.[1] ?? '').toString()
    return path.startsWith(`${folder}/`) ? { kind: 'unlink', file: basename(path), done: time.done } : undefined
  }
  const descriptor = /^(\d+)<([^>]*)>(?:, )?(.*)$/s.exec(args)
  if (!descriptor) return undefined
  const [, number = '', shown = '', more = ''] = descriptor
  const path = shown.includes('\\x') ? fromEscaped(shown).toString() : shown
  if (number === '1' && call === 'write') return { kind: 'promise', text: written(more, result).toString(), done: time.done }
  if (path !== folder && !path.startsWith(`${folder}/`)) return undefined
  const file = path === folder ? '.' : basename(path)
  if (call === 'lseek') {
    places.set(`${number} ${file}`, result)
    return undefined
  }
  if (call === 'fsync' || call === 'fdatasync') return { kind: 'sync', file, ...time }
  if (call === 'ftruncate') return { kind: 'truncate', file, size: Number(more), done: time.done }
  if (call === 'pwrite64') {
    return { kind: 'write', file, at: Number(/, (\d+)$/.exec(more)?.[1]), data: written(more, result), done: time.done }
  }
  if (call !== 'write') return undefined
  const at = places.get(`${number} ${file}`) ?? 0
  places.set(`${number} ${file}`, at + result)
  return { kind: 'write', file, at, data: written(more, result), done: time.done }
}

function written(args: string, length: number): Buffer {
  const data = fromEscaped(/^"((?:\\x[0-9a-f]{2})*)"/.exec(args)?.[1] ?? '')
  if (data.length !== length) throw new Error(`the trace has ${data.length} of ${length} bytes: raise strace -s`)
  return data
}

const fromEscaped = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex')
