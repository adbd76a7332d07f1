import { findRefusedName } from '#shared/ikev2/refused-transforms.ts'
import { named } from '#shared/ikev2/transform.ts'
import { TransformType } from '#shared/wire/ike-numbers.ts'

/**
 * The accepted word that does what a refused one was meant to do, in the company of the proposal's other `words`: it changes as little as
 * can be, so that whoever reads `aes256-sha256-modp2048` finds their own proposal in it.
 */
export function strongerWord(word: string, words: readonly string[]): string {
  switch (findRefusedName(word)?.type) {
    case TransformType.Encryption:
      return strongerCipher(word, words)
    case TransformType.Prf:
      return 'prfsha256'
    case TransformType.Integrity:
      return 'sha256'
    case TransformType.KeyExchange:
      return strongerGroup(word)
    default:
      return word
  }
}

/** With an integrity algorithm beside it the cipher stays of the kind that needs one. */
function strongerCipher(word: string, words: readonly string[]): string {
  const bits = word.startsWith('aes128') ? 128 : 256
  if (word.endsWith('gmac')) return `aes${bits}gmac`
  const needsIntegrity = words.some((one) => {
    const type = named(one)?.type ?? findRefusedName(one)?.type
    return type === TransformType.Integrity
  })
  return needsIntegrity && !/ccm|gcm/.test(word) ? `aes${bits}` : `aes${bits}gcm16`
}

function strongerGroup(word: string): string {
  if (word.startsWith('modp')) return /6144|8192/.test(word) ? 'modp4096' : 'modp2048'
  return word.startsWith('ecp') ? 'ecp256' : 'x25519'
}
