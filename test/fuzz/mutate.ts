import { concat } from '#shared/bytes/concat.ts'
import type { Dice } from '#shared/time/backoff.ts'

/** 0..below - 1. */
export const roll = (dice: Dice, below: number): number => Math.floor(dice() * below)

export const pick = <T>(dice: Dice, from: readonly T[]): T => from[roll(dice, from.length)] as T

export const randomBytes = (dice: Dice, length: number): Uint8Array => Uint8Array.from({ length }, () => roll(dice, 256))

/** Values at which lengths, counts and types change their meaning. */
const edgeBytes = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 20, 27, 28, 31, 32, 33, 46, 53, 127, 128, 254, 255]
const edgeWords = [0, 1, 3, 4, 5, 7, 8, 9, 0x10, 0x14, 0xff, 0x100, 0x3fff, 0x4000, 0x7fff, 0x8000, 0x800e, 0xfffe, 0xffff]

type Mutation = (dice: Dice, bytes: Uint8Array, other: Uint8Array) => Uint8Array

const changed = (bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array => {
  const copy = bytes.slice()
  if (copy.length > 0) change(copy)
  return copy
}

const mutations: readonly Mutation[] = [
  (dice, bytes) =>
    changed(bytes, (copy) => {
      copy[roll(dice, copy.length)]! ^= 1 << roll(dice, 8)
    }),
  (dice, bytes) =>
    changed(bytes, (copy) => {
      copy[roll(dice, copy.length)] = pick(dice, edgeBytes)
    }),
  (dice, bytes) =>
    changed(bytes, (copy) => {
      copy[roll(dice, copy.length)] = roll(dice, 256)
    }),
  (dice, bytes) =>
    changed(bytes, (copy) => {
      const at = roll(dice, copy.length)
      const word = pick(dice, edgeWords)
      copy[at] = word >> 8
      if (at + 1 < copy.length) copy[at + 1] = word & 0xff
    }),
  // A length that is nearly right.
  (dice, bytes) =>
    changed(bytes, (copy) => {
      copy[roll(dice, copy.length)]! += pick(dice, [-4, -1, 1, 4])
    }),
  (dice, bytes) => bytes.slice(0, roll(dice, bytes.length + 1)),
  (dice, bytes) => concat(bytes, randomBytes(dice, 1 + roll(dice, 8))),
  (dice, bytes) => {
    const at = roll(dice, bytes.length + 1)
    return concat(bytes.subarray(0, at), bytes.subarray(at + 1 + roll(dice, 12)))
  },
  (dice, bytes) => {
    const at = roll(dice, bytes.length + 1)
    return concat(bytes.subarray(0, at), randomBytes(dice, 1 + roll(dice, 12)), bytes.subarray(at))
  },
  // A piece twice.
  (dice, bytes) => {
    const from = roll(dice, bytes.length + 1)
    const to = Math.min(bytes.length, from + 1 + roll(dice, 64))
    return concat(bytes.subarray(0, to), bytes.subarray(from))
  },
  // The head of one, the tail of another.
  (dice, bytes, other) => concat(bytes.subarray(0, roll(dice, bytes.length + 1)), other.subarray(roll(dice, other.length + 1))),
]

/** One to four changes of a good input; the same dice, the same changes. */
export function mutate(dice: Dice, seeds: readonly Uint8Array[]): Uint8Array {
  let bytes = pick(dice, seeds)
  for (let left = 1 + roll(dice, 4); left > 0; left--) bytes = pick(dice, mutations)(dice, bytes, pick(dice, seeds))
  return bytes
}
