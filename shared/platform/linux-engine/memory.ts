/**
 * Memory that native code may be pointed to: it never moves, never grows, and what a call may touch is checked in one place, `address`.
 * A WebAssembly memory of fixed size is such a thing, and a WASM module may work on it as well.
 */
import type { Abi } from './abi.ts'

/** A page of WebAssembly, bytes. */
const PAGE = 65_536

/** What the language's own library says of WebAssembly is in that of the browser; this is the part that we use. */
interface FixedMemory {
  readonly buffer: ArrayBuffer
}
declare const WebAssembly: { Memory: new (size: { initial: number; maximum: number }) => FixedMemory }

export class NativeMemory {
  /** Four views of the same bytes. */
  readonly bytes: Uint8Array
  readonly halves: Uint16Array
  readonly words: Uint32Array
  readonly view: DataView
  /** For a WASM module that is to import it. */
  readonly wasm: FixedMemory
  readonly abi: Abi
  readonly size: number
  #base: number
  #end: number
  #allocated = 0

  /**
   * `length` bytes, rounded up to whole pages of 65,536, zeroed. `addressOf` tells where an array stands. Throws RangeError where the
   * machine has no such memory.
   */
  constructor(length: number, abi: Abi, addressOf: (bytes: Uint8Array) => number) {
    const pages = Math.max(1, Math.ceil(length / PAGE))
    this.wasm = new WebAssembly.Memory({ initial: pages, maximum: pages })
    const { buffer } = this.wasm
    this.bytes = new Uint8Array(buffer)
    this.halves = new Uint16Array(buffer)
    this.words = new Uint32Array(buffer)
    this.view = new DataView(buffer)
    this.abi = abi
    this.size = this.#end = buffer.byteLength
    this.#base = addressOf(this.bytes)
  }

  /** Where `length` bytes of it are the caller's from now on; `align` is a power of two. Throws RangeError when it is full. */
  allocate(length: number, align = 64): number {
    const at = Math.ceil(this.#allocated / align) * align
    if (!(length >= 0 && at + length <= this.#end)) throw new RangeError(`${length} bytes do not fit into this native memory`)
    this.#allocated = at + length
    return at
  }

  /** The machine address of `bytes[at..at + length]`. Throws RangeError unless all of it is inside. */
  address(at: number, length: number): number {
    // Written so that NaN fails too.
    if (!(at >= 0 && length >= 0 && at + length <= this.#end))
      throw new RangeError(`native memory has no ${length} bytes at ${at} (it has ${this.#end})`)
    return this.#base + at
  }

  /** Writes at `at` a pointer to `bytes[target..target + length]`. */
  setPointer(at: number, target: number, length: number): void {
    this.setSize(at, this.address(target, length))
  }

  /** Writes a size_t, or a pointer that was checked: `value` is below 2^53. `at` is a multiple of 4. */
  setSize(at: number, value: number): void {
    this.words[at >> 2] = value
    if (this.abi.pointerBytes === 8) this.words[(at >> 2) + 1] = value / 0x1_0000_0000
  }

  /** Whoever holds it still cannot point native code to it any more; the collector frees it with the last view. */
  close(): void {
    this.#end = 0
    this.#base = 0
  }
}
