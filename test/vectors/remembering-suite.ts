import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'

const suites = new WeakMap<Suite, Suite>()

/**
 * The suite with an X25519 that remembers: a thousand Noise vectors share a dozen keys, and noble needs a millisecond for each of their
 * twenty thousand agreements. Each distinct one is computed once; refusals are not remembered.
 */
export function rememberingSuite(suite: Suite): Suite {
  let remembering = suites.get(suite)
  if (remembering === undefined) {
    remembering = { ...suite, x25519: rememberingX25519(suite) }
    suites.set(suite, remembering)
  }
  return remembering
}

function rememberingX25519({ x25519 }: Suite): Suite['x25519'] {
  const pairs = new Map<string, KeyPair>()
  const secrets = new Map<string, Uint8Array>()
  return {
    ...x25519,
    pair(privateKey) {
      const name = toHex(privateKey)
      const pair = pairs.get(name) ?? x25519.pair(privateKey)
      pairs.set(name, pair)
      return { publicKey: pair.publicKey.slice(), privateKey: pair.privateKey.slice() }
    },
    shared(pair, publicKey) {
      const name = toHex(pair.privateKey) + toHex(publicKey)
      const secret = secrets.get(name) ?? x25519.shared(pair, publicKey)
      secrets.set(name, secret)
      return secret.slice()
    },
  }
}
