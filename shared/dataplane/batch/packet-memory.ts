/**
 * The memory in which batches of packets lie: one piece, seen through four views that all begin at its offset 0, so that a packet is
 * a number and nothing is made per packet. The machine is little-endian, as every one that Node runs the Linux engine on.
 */
export interface PacketMemory {
  readonly bytes: Uint8Array
  readonly halves: Uint16Array
  readonly words: Uint32Array
  readonly view: DataView
  /** The WebAssembly memory whose offset 0 is that of the views, where it is one; checksums then take the SIMD road. */
  readonly wasm?: WasmMemory | undefined
}

/** A `WebAssembly.Memory`, as far as we care (its types come with browsers' libraries only). It is never grown: that would detach the views. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike
}
