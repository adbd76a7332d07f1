/**
 * The door to native code: koffi, an optional package that calls C functions. All that this machine may lack is told as a refusal, which
 * says what is missing and what would mend it; nothing throws, and without a refusal the layouts and the memory have been checked.
 */
import { abis, type Layouter, layoutMismatch } from './abi.ts'
import { NativeMemory } from './memory.ts'

/** Why this machine has no fast engine. */
export interface NativeRefusal {
  readonly code: 'no-koffi' | 'wrong-platform' | 'wrong-abi' | 'no-tun' | 'no-permission' | 'self-test-failed' | 'no-thread'
  /** One sentence each. */
  readonly message: string
  readonly mend: string
}

/** Numbers in, a number out: addresses below 2^53, integers. */
export type NativeFunction = (...values: readonly number[]) => number

export interface NativeLibrary {
  /** By its C declaration; addresses are declared `uintptr_t`. Throws where there is no such function. */
  function(declaration: string): NativeFunction
}

export interface Native {
  /** A shared library, or with null what the process has loaded already: libc and, unless it was built apart, OpenSSL. Throws where there is none. */
  library(path: string | null): NativeLibrary
  /** New memory of at least `length` bytes. Throws RangeError where the machine has none. */
  memory(length: number): NativeMemory
  /** The C variable of this thread, as the last call left it. */
  errno(): number
}

/** What is asked of the machine; tests give another. */
export interface Machine {
  readonly platform: string
  readonly arch: string
  readonly littleEndian: boolean
  koffi(): Promise<Koffi>
}

/** The part of koffi that is used. */
export interface Koffi extends Layouter {
  load(path: string | null): { func(declaration: string): unknown }
  errno(): number
}

const thisMachine: Machine = {
  platform: process.platform,
  arch: process.arch,
  littleEndian: new Uint8Array(Uint16Array.of(1).buffer)[0] === 1,
  koffi: async () => (await import('koffi')).default as unknown as Koffi,
}

let cached: Promise<Native | NativeRefusal> | undefined

/** Loaded once in a thread. Never throws. */
export function loadNative(): Promise<Native | NativeRefusal> {
  cached ??= loadNativeOf(thisMachine)
  return cached
}

export const isRefusal = (value: object): value is NativeRefusal => 'code' in value && 'mend' in value

export async function loadNativeOf(machine: Machine): Promise<Native | NativeRefusal> {
  const { platform, arch } = machine
  if (platform !== 'linux')
    return refusal(
      'wrong-platform',
      `The fast engine is made for Linux, not for ${platform}.`,
      'The portable engine serves here.',
    )
  const abi = abis[arch]
  if (abi === undefined || !machine.littleEndian)
    return refusal('wrong-abi', `The fast engine does not know the ${arch} processor.`, 'It knows x64, arm64 and armv7.')
  let koffi: Koffi
  try {
    koffi = await machine.koffi()
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND'
    const reason = isMissing ? 'it is not installed' : reasonOf(error)
    const mend = 'Install it where the program is installed (npm install koffi).'
    return refusal('no-koffi', `The package koffi cannot be loaded: ${reason}.`, mend)
  }
  try {
    const mismatch = layoutMismatch(abi, koffi)
    if (mismatch !== undefined)
      return refusal(
        'wrong-abi',
        `This machine lays out C structures differently: ${mismatch}.`,
        'Please report this machine to us.',
      )
    const native = open(koffi, abi)
    const failure = selfTest(native)
    if (failure === undefined) return native
    return refusal('self-test-failed', failure, 'Please report this machine to us; the portable engine serves meanwhile.')
  } catch (error) {
    const mend = 'If memory is limited (ulimit -v), raise the limit; the portable engine serves meanwhile.'
    return refusal('self-test-failed', `Native code cannot be called: ${reasonOf(error)}.`, mend)
  }
}

function open(koffi: Koffi, abi: NativeMemory['abi']): Native {
  const library = (path: string | null): NativeLibrary => {
    const loaded = koffi.load(path)
    return { function: (declaration) => loaded.func(declaration) as NativeFunction }
  }
  // Moves nothing and returns its first argument, which koffi has turned into an address.
  const memmove = koffi.load(null).func('uintptr_t memmove(void *to, const void *from, size_t length)')
  const addressOf = (bytes: Uint8Array) =>
    Number((memmove as (to: Uint8Array, from: Uint8Array, n: number) => number)(bytes, bytes, 0))
  return { library, memory: (length) => new NativeMemory(length, abi, addressOf), errno: () => koffi.errno() }
}

/** Whether C and we see the same bytes, and whether errors of the system reach us. */
function selfTest(native: Native): string | undefined {
  const memory = native.memory(64)
  const libc = native.library(null)
  const at = memory.allocate(64)
  libc.function('void memset(uintptr_t to, int value, size_t length)')(memory.address(at + 8, 16), 0xa5, 16)
  const seen = memory.bytes.subarray(at, at + 32).every((byte, i) => byte === (i >= 8 && i < 24 ? 0xa5 : 0))
  if (!seen) return 'What native code writes does not arrive in memory.'
  if (libc.function('int close(int descriptor)')(-1) !== -1 || native.errno() !== 9) return 'Errors of the system do not arrive.'
  memory.close()
  return undefined
}

function refusal(code: NativeRefusal['code'], message: string, mend: string): NativeRefusal {
  return { code, message, mend }
}

/** Its first line, as a part of a sentence of ours. */
function reasonOf(error: unknown): string {
  return String(error instanceof Error ? error.message : error)
    .split('\n')[0]!
    .replace(/\.$/, '')
}
