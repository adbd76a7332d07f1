/**
 * The ones' complement sum as a WebAssembly module with SIMD, written instruction by instruction (WebAssembly core specification
 * 2.0, §5), three times as fast as our best JavaScript. In words, with `at`, `length` in bytes and four 32-bit lanes:
 *
 *   while (end - at >= 64) four times: v = 16 bytes at `at`; whole += v; upper += v >>> 16
 *   while (end - at >= 16) the same once
 *   lanes = (whole - (upper << 16)) + upper            the lower halves, freed of what the upper ones put above them, and the upper
 *   total = the sum of the lanes; then 2 bytes a turn, then an odd last byte as the low half of a word
 *   return (total & 0xffff) + (total >>> 16)
 *
 * `whole` may wrap, since the lower halves of 65,536 bytes stay far below 2^32 and so come out of the difference exactly.
 */
import type { WasmMemory } from '#shared/dataplane/batch/packet-memory.ts'

/** What we use of the WebAssembly object, which Node has and its types leave to the browser's. */
interface WebAssemblyObject {
  validate(bytes: Uint8Array): boolean
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object, imports: object) => { readonly exports: object }
}

const at = 0
const length = 1
const end = 2
const total = 3
const whole = 4
const upper = 5
const vector = 6

const get = (local: number): number[] => [0x20, local]
const set = (local: number): number[] => [0x21, local]
const tee = (local: number): number[] => [0x22, local]
const add = 0x6a
const subtract = 0x6b
const and = 0x71
const shiftRight = 0x76
const below = 0x49
const endBlock = 0x0b
/** Numbers below 2^20. Signed LEB128 in three bytes, as padding is allowed. */
const constant = (value: number): number[] => [0x41, 0x80 | (value & 0x7f), 0x80 | ((value >> 7) & 0x7f), value >> 14]
const load16Bytes = (offset: number): number[] => [0xfd, 0x00, 0, offset]
const load2Bytes = [0x2f, 0, 0]
const load1Byte = [0x2d, 0, 0]
const addLanes = [0xfd, 0xae, 0x01]
const subtractLanes = [0xfd, 0xb1, 0x01]
const shiftLanesLeft = [0xfd, 0xab, 0x01]
const shiftLanesRight = [0xfd, 0xad, 0x01]
const lane = (index: number): number[] => [0xfd, 0x1b, index]

const addVector = (offset: number): number[] => [
  ...[...get(whole), ...get(at), ...load16Bytes(offset), ...tee(vector), ...addLanes, ...set(whole)],
  ...[...get(upper), ...get(vector), ...constant(16), ...shiftLanesRight, ...addLanes, ...set(upper)],
]
/** `while (end - at >= step) { body; at += step }` */
const whileRoom = (step: number, body: number[]): number[] => [
  ...[0x02, 0x40], // block
  ...[0x03, 0x40], // loop
  ...[...get(end), ...get(at), subtract, ...constant(step), below],
  ...[0x0d, 1], // br_if: out of the block
  ...body,
  ...[...get(at), ...constant(step), add, ...set(at)],
  ...[0x0c, 0], // br: again
  ...[endBlock, endBlock],
]
const addToTotal = (load: number[]): number[] => [...get(total), ...get(at), ...load, add, ...set(total)]

const code = [
  ...[2, 2, 0x7f, 3, 0x7b], // locals beyond the parameters: 2 of i32, 3 of v128
  ...[...get(at), ...get(length), add, ...set(end)],
  ...whileRoom(64, [...addVector(0), ...addVector(16), ...addVector(32), ...addVector(48)]),
  ...whileRoom(16, addVector(0)),
  ...[...get(whole), ...get(upper), ...constant(16), ...shiftLanesLeft, ...subtractLanes],
  ...[...get(upper), ...addLanes, ...set(whole)],
  ...[...get(whole), ...lane(0), ...get(whole), ...lane(1), add],
  ...[...get(whole), ...lane(2), ...get(whole), ...lane(3), add, add, ...set(total)],
  ...whileRoom(2, addToTotal(load2Bytes)),
  ...whileRoom(1, addToTotal(load1Byte)),
  ...[...get(total), ...constant(0xffff), and, ...get(total), ...constant(16), shiftRight, add],
  endBlock,
]

const text = (word: string): number[] => [word.length, ...new TextEncoder().encode(word)]
/** Sizes in two bytes of LEB128, below 2^14. */
const size = (count: number): number[] => [0x80 | (count & 0x7f), count >> 7]
const section = (id: number, content: number[]): number[] => [id, ...size(content.length), ...content]

const moduleBytes = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]), // one type: (i32, i32) → i32
  ...section(2, [1, ...text('adit'), ...text('memory'), 0x02, 0x00, 0]), // the memory comes from outside
  ...section(3, [1, 0]),
  ...section(7, [1, ...text('sum'), 0x00, 0]),
  ...section(10, [1, ...size(code.length), ...code]),
])

let compiled: object | undefined

/** The sum over `memory`, or undefined where the engine has no SIMD (or no WebAssembly at all). */
export function simdSum(memory: WasmMemory): ((at: number, length: number) => number) | undefined {
  const { WebAssembly } = globalThis as unknown as { WebAssembly?: WebAssemblyObject }
  if (WebAssembly === undefined || !WebAssembly.validate(moduleBytes)) return undefined
  compiled ??= new WebAssembly.Module(moduleBytes)
  const { exports } = new WebAssembly.Instance(compiled, { adit: { memory } })
  return (exports as { sum: (at: number, length: number) => number }).sum
}
