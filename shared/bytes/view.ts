/** The same memory as a plain Uint8Array: Node's Buffers must not leak out of a provider (they compare and slice differently). */
export const plainView = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The same memory as a Buffer, for Node interfaces that need one; no copy. */
export const bufferView = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
