import type { DiskOperation } from '#test/interop/disk-trace.ts'

/** What a power cut may leave: the files of the folder, and the promises that had been made before it. */
export interface CrashState {
  readonly files: ReadonlyMap<string, Buffer>
  readonly promises: readonly string[]
  /** Where the cut fell and what was lost: shown when a state turns out bad. */
  readonly story: string
}

type FileOperation = Extract<DiskOperation, { file: string }>

/** Disks write sectors whole: a torn write keeps some of its 512-byte pieces. */
const sector = 512

/**
 * Crash states of a recorded run. At every point of it: all that was written; all that was synced and nothing else; and as many
 * seeded mixtures as asked, in which each unsynced write arrived, was lost, or was torn, whatever came after it.
 */
export function* crashStates(
  base: ReadonlyMap<string, Buffer>,
  operations: readonly DiskOperation[],
  mixtures: number,
  random: () => number,
): Iterable<CrashState> {
  for (let cut = 0; cut <= operations.length; cut += 1) {
    const before = operations.slice(0, cut)
    // Between two promises or right after one nothing has changed on the disk.
    if (before.at(-1)?.kind === 'promise' && operations[cut]?.kind === 'promise') continue
    const promises = before.flatMap((operation) => (operation.kind === 'promise' ? [operation.text.trim()] : []))
    const done = before.filter(
      (operation): operation is FileOperation => operation.kind !== 'promise' && operation.kind !== 'sync',
    )
    const safe = done.map((operation) => isSynced(operation, before, done, base))
    const state = (story: string, fate: (at: number) => Fate): CrashState => ({
      files: replay(base, done, (at) => (safe[at] ? 'kept' : fate(at)), random),
      promises,
      story: `cut before operation ${cut} of ${operations.length}, ${story}`,
    })
    yield state('nothing lost', () => 'kept')
    if (!safe.includes(false)) continue
    yield state('everything unsynced lost', () => 'lost')
    for (let n = 0; n < mixtures; n += 1) {
      yield state(`mixture ${n}`, () => (['kept', 'lost', 'torn'] as const)[Math.floor(random() * 3)] ?? 'lost')
    }
  }
}

type Fate = 'kept' | 'lost' | 'torn'

/** Content needs a sync of its file, a name (made or removed) one of the folder. */
function isSynced(
  operation: FileOperation,
  before: readonly DiskOperation[],
  done: readonly FileOperation[],
  base: ReadonlyMap<string, Buffer>,
): boolean {
  const syncedAfter = (file: string, moment: number): boolean =>
    before.some((later) => later.kind === 'sync' && later.file === file && later.began > moment)
  if (operation.kind === 'unlink') return syncedAfter('.', operation.done)
  if (!syncedAfter(operation.file, operation.done)) return false
  if (base.has(operation.file)) return true
  const made = done.find(({ file }) => file === operation.file)
  return made !== undefined && syncedAfter('.', made.done)
}

function replay(
  base: ReadonlyMap<string, Buffer>,
  operations: readonly FileOperation[],
  fateOf: (at: number) => Fate,
  random: () => number,
): Map<string, Buffer> {
  const files = new Map([...base].map(([name, content]) => [name, new FileImage(content)]))
  const image = (name: string): FileImage => {
    const found = files.get(name) ?? new FileImage(Buffer.alloc(0))
    files.set(name, found)
    return found
  }
  for (const [at, operation] of operations.entries()) {
    const fate = fateOf(at)
    if (fate === 'lost') continue
    if (operation.kind === 'unlink') files.delete(operation.file)
    else if (operation.kind === 'truncate') image(operation.file).resize(operation.size)
    else if (operation.kind === 'write') {
      const { data } = operation
      const target = image(operation.file)
      target.resize(Math.max(target.length, operation.at + data.length))
      for (let from = 0; from < data.length; from += sector) {
        if (fate === 'torn' && random() < 0.5) continue
        target.put(operation.at + from, data.subarray(from, from + sector))
      }
    }
  }
  return new Map([...files].map(([name, file]) => [name, file.content]))
}

/** A file that grows: bytes never written are zeros. */
class FileImage {
  #bytes: Buffer
  length: number

  constructor(content: Buffer) {
    this.#bytes = Buffer.from(content)
    this.length = content.length
  }

  get content(): Buffer {
    return this.#bytes.subarray(0, this.length)
  }

  resize(length: number): void {
    if (length < this.length) this.#bytes.fill(0, length, this.length)
    if (length > this.#bytes.length) {
      const larger = Buffer.alloc(length * 2)
      this.content.copy(larger)
      this.#bytes = larger
    }
    this.length = length
  }

  put(at: number, data: Buffer): void {
    data.copy(this.#bytes, at)
  }
}
