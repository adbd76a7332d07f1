import type { CLibraries, CMemory } from './evp.ts'

/**
 * OpenSSL 3.0's Poly1305 for AVX-512 returns without VZEROUPPER. From then on, until something else executes it, every change between SSE
 * code (Node's) and AVX code (glibc's, V8's) costs an x64 processor some 70 ns, several times in each native call: with 1400 bytes, sealing
 * took 3.4 us instead of 2.0. glibc's strstr for such processors executes it; elsewhere it is a call that does nothing.
 *
 * Returns what is to be called after each final; undefined where no processor has AVX.
 */
export function vectorStateClearer(libraries: CLibraries, memory: CMemory, arch: string): (() => void) | undefined {
  if (arch !== 'x64') return undefined
  const strstr = libraries.library(null).function('void strstr(uintptr_t text, uintptr_t part)')
  const at = memory.allocate(4)
  memory.bytes.set(new TextEncoder().encode('ab\0'), at)
  const text = memory.address(at, 3)
  return () => strstr(text, text)
}
