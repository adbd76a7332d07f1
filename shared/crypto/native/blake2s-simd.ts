/**
 * BLAKE2s's compression function on vectors of four words, and HMAC over it: a WebAssembly module, written here instruction by instruction, because the
 * compiler of JavaScript makes none of them (0.2 us a block instead of 0.6). Row by row as the reference has it: RFC 7693 §3.2 mixes four
 * columns at once, then, with the rows turned against each other, four diagonals.
 *
 * Memory: h (8 words) | counter, 0, last, 0 | 0 | block (16 words) | IV (8 words) | h at the beginning of a hash (8 words)
 *         | key (16 words) | message (16 words), both of HMAC, and zero between calls
 */
import { type Compression, IV, S } from './blake2s-plain.ts'

/** Offsets in bytes. */
const H = 0
const COUNTER = 32
const BLOCK = 64
const INITIAL = 128
const BEGINNING = 160
const KEY = 192
const MESSAGE = 256
const BLOCK_LENGTH = 64

/** Locals: the rows of the state, a vector for what is being gathered, and h as it was. */
const [A, B, C, D, GATHERED, H0, H1] = [0, 1, 2, 3, 4, 5, 6]

/** The core specification of WebAssembly 2.0, §5.4: opcodes; vector ones follow the prefix 0xfd. */
const get = (local: number) => [0x20, local]
const set = (local: number) => [0x21, local]
const zero = [0x41, 0]
const vector = (opcode: number, ...immediates: readonly number[]) => [0xfd, ...unsigned(opcode), ...immediates]
const load = (offset: number) => [...zero, ...vector(0x00, 4, ...unsigned(offset))]
const store = (offset: number) => vector(0x0b, 4, ...unsigned(offset))
const loadSplat = (offset: number) => [...zero, ...vector(0x09, 2, ...unsigned(offset))]
const loadLane = (into: number, offset: number, lane: number) => [
  ...zero,
  ...get(into),
  ...vector(0x56, 2, ...unsigned(offset), lane),
]
const add = vector(0xae)
const xor = vector(0x51)
const constant = (...four: readonly number[]) => vector(0x0c, ...new Uint8Array(Int32Array.from(four).buffer))
const put = (offset: number, value: readonly number[]) => [...zero, ...value, ...store(offset)]
/** Each vector of 64 bytes. */
const quarters = [0, 16, 32, 48]
const or = vector(0x50)
const shiftLeft = (bits: number) => [0x41, bits, ...vector(0xab)]
const shiftRight = (bits: number) => [0x41, bits, ...vector(0xad)]
const shuffle = (local: number, bytes: readonly number[]) => [
  ...get(local),
  ...get(local),
  ...vector(0x0d, ...bytes),
  ...set(local),
]

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}

const lanes = [0, 1, 2, 3]

/** Each word of `local` by so many bits to the right; whole bytes are moved at once. */
function rotate(local: number, bits: number): number[] {
  if (bits % 8 === 0)
    return shuffle(
      local,
      lanes.flatMap((lane) => lanes.map((byte) => 4 * lane + ((byte + bits / 8) % 4))),
    )
  return [...get(local), ...shiftRight(bits), ...get(local), ...shiftLeft(32 - bits), ...or, ...set(local)]
}

/** The words of a row by so many places to the left. */
const turn = (local: number, places: number) =>
  shuffle(
    local,
    lanes.flatMap((lane) => lanes.map((byte) => 4 * ((lane + places) % 4) + byte)),
  )

/** The words of the block with these numbers, on the stack. */
function gather(words: readonly number[]): number[] {
  const [first, ...rest] = words.map((word) => BLOCK + 4 * word)
  return [...loadSplat(first!), ...rest.flatMap((offset, i) => [...set(GATHERED), ...loadLane(GATHERED, offset, i + 1)])]
}

/** Half of the mixing function G (§3.1), on four columns. */
function halfMix(words: readonly number[], bitsOfD: number, bitsOfB: number): number[] {
  return [
    ...[...get(A), ...get(B), ...add, ...gather(words), ...add, ...set(A)],
    ...[...get(D), ...get(A), ...xor, ...set(D), ...rotate(D, bitsOfD)],
    ...[...get(C), ...get(D), ...add, ...set(C)],
    ...[...get(B), ...get(C), ...xor, ...set(B), ...rotate(B, bitsOfB)],
  ]
}

/** G on four columns: `words` are eight numbers of words, two for each. */
function mix(words: readonly number[]): number[] {
  const every = (parity: number) => words.filter((_, i) => i % 2 === parity)
  return [...halfMix(every(0), 16, 12), ...halfMix(every(1), 8, 7)]
}

function round(words: readonly number[]): number[] {
  const diagonals = [...turn(B, 1), ...turn(C, 2), ...turn(D, 3)]
  const columns = [...turn(B, 3), ...turn(C, 2), ...turn(D, 1)]
  return [...mix(words.slice(0, 8)), ...diagonals, ...mix(words.slice(8)), ...columns]
}

function compressionCode(): number[] {
  const rounds = Array.from({ length: S.length / 16 }, (_, i) => round([...S.subarray(16 * i, 16 * i + 16)]))
  return [
    ...[...load(H), ...set(H0), ...get(H0), ...set(A), ...load(H + 16), ...set(H1), ...get(H1), ...set(B)],
    ...[...load(INITIAL), ...set(C), ...load(INITIAL + 16), ...load(COUNTER), ...xor, ...set(D)],
    ...rounds.flat(),
    ...[...zero, ...get(H0), ...get(A), ...xor, ...get(C), ...xor, ...store(H)],
    ...[...zero, ...get(H1), ...get(B), ...xor, ...get(D), ...xor, ...store(H + 16)],
    0x0b,
  ]
}

const callCompress = [0x10, 0]

/** The first block of a hash: HMAC's key with a pad (RFC 2104 §2). */
function padded(pad: number): number[] {
  return [
    ...[...put(H, load(BEGINNING)), ...put(H + 16, load(BEGINNING + 16)), ...put(COUNTER, constant(BLOCK_LENGTH, 0, 0, 0))],
    ...quarters.flatMap((at) => put(BLOCK + at, [...load(KEY + at), ...constant(pad, pad, pad, pad), ...xor])),
    ...callCompress,
  ]
}

/** HMAC of what stands at KEY and MESSAGE, of which the only parameter says how many bytes are the message. */
function hmacCode(): number[] {
  const [length, inner0, inner1] = [0, 1, 2]
  const nothing = constant(0, 0, 0, 0)
  return [
    ...padded(0x3636_3636),
    ...quarters.flatMap((at) => put(BLOCK + at, load(MESSAGE + at))),
    ...put(COUNTER, constant(0, 0, -1, 0)),
    // i32.store of i32.add: the key's block and the message's bytes.
    ...[...zero, ...get(length), 0x41, ...signed(BLOCK_LENGTH), 0x6a, 0x36, 2, ...unsigned(COUNTER)],
    ...callCompress,
    ...[...load(H), ...set(inner0), ...load(H + 16), ...set(inner1)],
    ...padded(0x5c5c_5c5c),
    ...[...put(BLOCK, get(inner0)), ...put(BLOCK + 16, get(inner1))],
    ...[...put(BLOCK + 32, nothing), ...put(BLOCK + 48, nothing)],
    ...put(COUNTER, constant(BLOCK_LENGTH + 32, 0, -1, 0)),
    ...callCompress,
    ...[BLOCK, KEY, MESSAGE].flatMap((start) => quarters.flatMap((at) => put(start + at, nothing))),
    0x0b,
  ]
}

/** LEB128 of a number that is not negative, where one may be. */
const signed = (value: number): number[] => (value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)])

/** Types, functions, memory of one page, exports `memory`, `compress` and `hmac`, code with vectors as locals (§5.5). */
function blake2sModule(): Uint8Array {
  const sized = (bytes: readonly number[]) => [...unsigned(bytes.length), ...bytes]
  const name = (text: string) => sized([...new TextEncoder().encode(text)])
  const section = (id: number, bytes: readonly number[]) => [id, ...sized(bytes)]
  const withVectors = (count: number, code: readonly number[]) => sized([1, count, 0x7b, ...code])
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [2, ...[0x60, 0, 0], ...[0x60, 1, 0x7f, 0]]),
    ...section(3, [2, 0, 1]),
    ...section(5, [1, 1, 1, 1]),
    ...section(7, [3, ...name('memory'), 2, 0, ...name('compress'), 0, 0, ...name('hmac'), 0, 1]),
    ...section(10, [2, ...withVectors(7, compressionCode()), ...withVectors(2, hmacCode())]),
  ])
}

/** What the language's own library says of WebAssembly is in that of the browser; this is the part that we use. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { readonly exports: unknown }
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer }
  compress(): void
  hmac(length: number): void
}

/** Undefined where this processor or this program has no vectors in WebAssembly, or keeps words the other way round. */
export function simdCompression(): Compression | undefined {
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) return undefined
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(blake2sModule()))
    const { memory, compress, hmac } = exports as Exports
    const bytes = new Uint8Array(memory.buffer, 0, MESSAGE + BLOCK_LENGTH)
    const words = new Int32Array(memory.buffer, 0, bytes.length / 4)
    const h = words.subarray(0, 8)
    words.set(IV, INITIAL / 4)
    words.set(IV, BEGINNING / 4)
    words[BEGINNING / 4]! ^= 0x0101_0020
    return {
      h,
      block: bytes.subarray(BLOCK, BLOCK + BLOCK_LENGTH),
      words: words.subarray(BLOCK / 4, (BLOCK + BLOCK_LENGTH) / 4),
      compress(total, last) {
        words[COUNTER / 4] = total
        words[COUNTER / 4 + 2] = last ? -1 : 0
        compress()
      },
      digest: (length) => bytes.slice(0, length),
      hmac(key, parts) {
        bytes.set(key, KEY)
        let end = MESSAGE
        for (const part of parts) {
          bytes.set(part, end)
          end += part.length
        }
        hmac(end - MESSAGE)
        const tag = bytes.slice(0, 32)
        for (let i = 0; i < h.length; i++) h[i] = 0
        return tag
      },
    }
  } catch {
    return undefined
  }
}
