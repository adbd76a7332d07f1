import assert from 'node:assert/strict'
import { toHex } from '#shared/bytes/hex.ts'
import type { Dice } from '#shared/time/backoff.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'
import { mutate } from './mutate.ts'

export interface FuzzTarget {
  readonly name: string
  /** Good inputs, whose changes are tried. */
  readonly seeds: readonly Uint8Array[]
  /** An input that follows the format's grammar, with values at its edges; every third input is one. */
  readonly grammar?: (dice: Dice) => Uint8Array
  /** Of the runs that others get, where one costs much: 0..1. */
  readonly share?: number
  /** Takes the input, or throws WireError. Anything else that it throws is a finding. */
  readonly run: (input: Uint8Array) => void
}

/** No input may cost more (P-13), milliseconds of CPU. */
const MOST_COST = 50
/** A run of the whole suite; `ADIT_FUZZ_RUNS=10000000` is the bar of P-13. */
const runs = Number(process.env.ADIT_FUZZ_RUNS ?? 20_000)
const seed = Number(process.env.ADIT_FUZZ_SEED ?? 13)

/** Tries a target `ADIT_FUZZ_RUNS` times from `ADIT_FUZZ_SEED`; one seed, one history. Returns how many inputs were taken. */
export function fuzz(target: FuzzTarget): number {
  const dice = seeded(seed)
  let taken = 0
  for (let run = 0; run < runs * (target.share ?? 1); run++) {
    const input = target.grammar !== undefined && run % 3 === 0 ? target.grammar(dice) : mutate(dice, target.seeds)
    const began = performance.now()
    if (tryOne(target, input, run)) taken++
    // The scheduler may hold us longer than the input does: only what is slow each time is slow.
    if (performance.now() - began > MOST_COST)
      assert.ok(leastCost(target, input) <= MOST_COST, finding(target, input, run, 'too slow'))
  }
  return taken
}

function tryOne(target: FuzzTarget, input: Uint8Array, run: number): boolean {
  try {
    target.run(input)
    return true
  } catch (error) {
    if (error instanceof WireError) return false
    throw new Error(finding(target, input, run, String(error)), { cause: error })
  }
}

function leastCost(target: FuzzTarget, input: Uint8Array): number {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5; i++) {
    const began = performance.now()
    tryOne(target, input, 0)
    least = Math.min(least, performance.now() - began)
  }
  return least
}

const finding = (target: FuzzTarget, input: Uint8Array, run: number, what: string): string =>
  `${target.name}, seed ${seed}, run ${run}: ${what}, of ${input.length} bytes ${toHex(input.subarray(0, 2000))}`
