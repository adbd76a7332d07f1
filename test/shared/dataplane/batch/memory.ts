/** Memories of packets for the tests: of the heap, and a WebAssembly one, as the engine has. */
import type { PacketMemory, WasmMemory } from '#shared/dataplane/batch/packet-memory.ts'

export function heapMemory(size: number): PacketMemory {
  return over(new ArrayBuffer(size))
}

/** `pages` of 64 KiB. */
export function wasmMemory(pages: number): PacketMemory {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new (limits: object) => WasmMemory } }
  const wasm = new WebAssembly.Memory({ initial: pages, maximum: pages })
  return { ...over(wasm.buffer), wasm }
}

function over(buffer: ArrayBufferLike): PacketMemory {
  return {
    bytes: new Uint8Array(buffer),
    halves: new Uint16Array(buffer),
    words: new Uint32Array(buffer),
    view: new DataView(buffer),
  }
}
