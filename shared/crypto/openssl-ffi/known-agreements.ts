import { CryptoError, type DiffieHellman } from '../suite.ts'

/** Hex. A scalar, a u-coordinate, and what comes of them; `own` is what comes of the scalar and nine, where it is published. */
interface KnownAgreement {
  readonly scalar: string
  readonly own?: string
  readonly u: string
  readonly result: string
}

const alice = '8520f0098930a754748b7ddcb43ef75a' + '0dbf3a0d26381af4eba4a98eaa9b4e6a'
const bob = 'de9edb7d7b7dc1b4d35b61c2ece43537' + '3f8343c85b78674dadfc7e146f882b4f'
const agreed = '4a5d9d5ba4ce2de1728e3bf480350f25' + 'e07e21c947d19e3376f09b3c1e161742'

/** RFC 7748 §5.2, then §6.1 from both sides. */
export const knownAgreements: readonly KnownAgreement[] = [
  {
    scalar: 'a546e36bf0527c9d3b16154b82465edd' + '62144c0ac1fc5a18506a2244ba449ac4',
    u: 'e6db6867583030db3594c1a424b15f7c' + '726624ec26b3353b10a903a6d0ab1c4c',
    result: 'c3da55379de9c6908e94ea4df28d084f' + '32eccf03491c71f754b4075577a28552',
  },
  {
    scalar: '4b66e9d4d1b4673c5ad22691957d6af5' + 'c11b6421e0ea01d42ca4169e7918ba0d',
    u: 'e5210f12786811d3f4b7959d0538ae2c' + '31dbe7106fc03c3efc4cd549c715a493',
    result: '95cbde9476e8907d7aade45cb4b873f8' + '8b595a68799fa152e6f8f7647aac7957',
  },
  {
    scalar: '77076d0a7318a57d3c16c17251b26645' + 'df4c2f87ebc0992ab177fba51db92c2a',
    own: alice,
    u: bob,
    result: agreed,
  },
  {
    scalar: '5dab087e624a8a4b79e17f8b83800ee6' + '6f3bb1292618b6fd1c2f8b27ff88e0eb',
    own: bob,
    u: alice,
    result: agreed,
  },
]

/** Points of small order (RFC 7748 §6.1): zero, one, and one of order eight. */
const smallOrder = [
  '00000000000000000000000000000000' + '00000000000000000000000000000000',
  '01000000000000000000000000000000' + '00000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46a' + 'da098deb9c32b1fd866205165f49b800',
]

/** Whether `x25519` agrees as published, and refuses what anybody would know. Names what fails; undefined: nothing does. */
export function failedAgreement(x25519: DiffieHellman): string | undefined {
  for (const known of knownAgreements) {
    const pair = x25519.pair(bytesOf(known.scalar))
    if (known.own !== undefined && !is(pair.publicKey, known.own)) return 'does not give the public key as published'
    for (let time = 0; time < 2; time++) {
      if (!is(x25519.shared(pair, bytesOf(known.u)), known.result)) return 'does not agree as published'
      for (const point of smallOrder)
        if (!refuses(() => x25519.shared(pair, bytesOf(point)))) return 'takes a point of small order'
    }
  }
  return undefined
}

function refuses(agree: () => Uint8Array): boolean {
  try {
    agree()
    return false
  } catch (error) {
    if (error instanceof CryptoError && error.code === 'low-order') return true
    throw error
  }
}

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
const is = (bytes: Uint8Array, hex: string): boolean => bytesOf(hex).every((byte, i) => byte === bytes[i])
