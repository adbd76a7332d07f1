import type { ModpGroup } from '../suite.ts'

/**
 * The safe primes of RFC 3526, generator 2. They are not written down but computed as the RFC defines them, from the digits of pi, so
 * that nobody need compare a thousand hexadecimal digits: 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + k).
 */
export interface ModpParameters {
  readonly bits: number
  /** Bytes of the prime, of a public value and of a shared secret. */
  readonly size: number
  /** Bytes of a fresh exponent: the upper estimate of RFC 3526 §8. */
  readonly exponentSize: number
  readonly prime: bigint
}

const shapes = {
  14: { bits: 2048, exponentSize: 40, k: 124476n },
  15: { bits: 3072, exponentSize: 53, k: 1690314n },
  16: { bits: 4096, exponentSize: 60, k: 240904n },
} as const

const computed = new Map<ModpGroup, ModpParameters>()

export function modpParameters(group: ModpGroup): ModpParameters {
  let parameters = computed.get(group)
  if (parameters === undefined) {
    const { bits, exponentSize, k } = shapes[group]
    const n = BigInt(bits)
    const prime = (1n << n) - (1n << (n - 64n)) - 1n + ((scaledPi(n - 130n) + k) << 64n)
    parameters = { bits, size: bits / 8, exponentSize, prime }
    computed.set(group, parameters)
  }
  return parameters
}

/** floor(2^bits * pi) by Machin's formula, with 64 bits to spare. */
function scaledPi(bits: bigint): bigint {
  const one = 1n << (bits + 64n)
  return (16n * arctanOfInverse(5n, one) - 4n * arctanOfInverse(239n, one)) >> 64n
}

function arctanOfInverse(x: bigint, one: bigint): bigint {
  let power = one / x
  let sum = power
  for (let i = 3n, sign = -1n; power > 0n; i += 2n, sign = -sign) {
    power /= x * x
    sum += (sign * power) / i
  }
  return sum
}
