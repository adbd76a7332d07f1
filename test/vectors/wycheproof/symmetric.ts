import { concat } from '#shared/bytes/concat.ts'
import { equalConstantTime, equalPublic } from '#shared/bytes/equal.ts'
import { type AeadAlgorithm, CryptoError, type HashName, type Suite } from '#shared/crypto/suite.ts'
import { underBoth } from '../both-providers.ts'
import { hexField, numberField } from '../fields.ts'
import type { GroupJudge, WycheproofCase } from './group.ts'

const aeads: Readonly<Record<string, (suite: Suite) => AeadAlgorithm>> = {
  'AES-GCM': (suite) => suite.aesGcm,
  'CHACHA20-POLY1305': (suite) => suite.chacha20poly1305,
  'XCHACHA20-POLY1305': (suite) => suite.xchacha20poly1305,
}

/** Group type AeadTest. */
export const judgeAead: GroupJudge = (one) => {
  const algorithmOf = aeads[one.algorithm]
  if (algorithmOf === undefined) return { skip: `${one.algorithm} is not an AEAD of the crypto port` }
  if (numberField(one.group, 'tagSize') !== 128)
    return { skip: `${one.algorithm} with a tag of other than 128 bits: outside our profile` }
  const key = hexField(one.test, 'key')
  const nonce = hexField(one.test, 'iv')
  const aad = hexField(one.test, 'aad')
  const message = hexField(one.test, 'msg')
  const sealed = concat(hexField(one.test, 'ct'), hexField(one.test, 'tag'))
  let outsideProfile = false
  const complaint = underBoth((suite) => {
    const algorithm = algorithmOf(suite)
    if (!algorithm.keyLengths.includes(key.length)) {
      outsideProfile = true
      return refuses(() => algorithm.key(key), 'a key of a wrong length')
    }
    const aead = algorithm.key(key)
    if (nonce.length !== algorithm.nonceLength) {
      outsideProfile = true
      return (
        refuses(
          () => aead.seal(nonce, aad, message, new Uint8Array(message.length + 16)),
          'to seal under a nonce of a wrong length',
        ) ??
        refuses(() => aead.open(nonce, aad, sealed, new Uint8Array(sealed.length)), 'to open under a nonce of a wrong length')
      )
    }
    const opened = new Uint8Array(Math.max(0, sealed.length - 16))
    const length = aead.open(nonce, aad, sealed, opened)
    if (one.expected === 'invalid') return length < 0 ? undefined : 'opened what must not open'
    if (length !== message.length || !equalPublic(opened, message)) return 'did not open to the message'
    const out = new Uint8Array(message.length + 16)
    if (aead.seal(nonce, aad, message, out) !== out.length || !equalPublic(out, sealed)) return 'sealed to other bytes'
    return undefined
  })
  if (outsideProfile && complaint === undefined && one.expected !== 'invalid')
    return { skip: `${one.algorithm} with a nonce or key length outside our profile (refused)` }
  return complaint
}

/**
 * Group type IndCpaTest, AES-CBC with the padding of PKCS #7. The port has the bare mode, whose users bring their own padding: it must
 * give every block of the vector in both directions, and it is judged here whether the padding is right.
 */
export const judgeCbc: GroupJudge = (one) => {
  if (one.algorithm !== 'AES-CBC-PKCS5') return { skip: `${one.algorithm} is not a cipher of the crypto port` }
  const iv = hexField(one.test, 'iv')
  const message = hexField(one.test, 'msg')
  const ciphertext = hexField(one.test, 'ct')
  const padding = 16 - (message.length % 16)
  const padded = concat(message, new Uint8Array(padding).fill(padding))
  return underBoth((suite) => {
    const key = suite.aesCbc.key(hexField(one.test, 'key'))
    const out = new Uint8Array(ciphertext.length)
    if (ciphertext.length % 16 !== 0) return refuses(() => key.decrypt(iv, ciphertext, out), 'a piece of a block')
    key.decrypt(iv, ciphertext, out)
    if (equalPublic(out, padded) !== (one.expected === 'valid')) return 'was decrypted to something else than stated'
    const again = new Uint8Array(ciphertext.length)
    key.encrypt(iv, out, again)
    return equalPublic(again, ciphertext) ? undefined : 'did not come back from what it was decrypted to'
  })
}

const hmacs: Readonly<Record<string, HashName>> = {
  HMACSHA1: 'sha1',
  HMACSHA256: 'sha256',
  HMACSHA384: 'sha384',
  HMACSHA512: 'sha512',
}

/** Group type MacTest; tags may be cut to `tagSize` bits. */
export const judgeMac: GroupJudge = (one) => {
  const hash = hmacs[one.algorithm.toUpperCase().replaceAll('-', '')]
  if (hash === undefined) return { skip: `${one.algorithm} is not a MAC of the crypto port` }
  const tag = hexField(one.test, 'tag')
  const tagLength = numberField(one.group, 'tagSize') / 8
  return underBoth((suite) => {
    const full = suite.hmac(hash, hexField(one.test, 'key'), hexField(one.test, 'msg'))
    const matches = equalConstantTime(full.subarray(0, tagLength), tag)
    return acceptance(one, matches)
  })
}

const hkdfs: Readonly<Record<string, HashName>> = {
  'HKDF-SHA-1': 'sha1',
  'HKDF-SHA-256': 'sha256',
  'HKDF-SHA-384': 'sha384',
  'HKDF-SHA-512': 'sha512',
}

/** Group type HkdfTest. */
export const judgeHkdf: GroupJudge = (one) => {
  const hash = hkdfs[one.algorithm]
  if (hash === undefined) return { skip: `${one.algorithm} is not a KDF of the crypto port` }
  const okm = hexField(one.test, 'okm')
  return underBoth((suite) => {
    const derive = () =>
      suite.hkdf(
        hash,
        hexField(one.test, 'ikm'),
        hexField(one.test, 'salt'),
        hexField(one.test, 'info'),
        numberField(one.test, 'size'),
      )
    if (one.expected === 'invalid') return refuses(derive, 'a length that HKDF cannot give')
    return equalPublic(derive(), okm) ? undefined : 'derived other bytes'
  })
}

function acceptance(one: WycheproofCase, accepted: boolean): string | undefined {
  if (accepted && one.expected === 'invalid') return 'accepted what must be refused'
  if (!accepted && one.expected !== 'invalid') return 'refused what is valid'
  return undefined
}

function refuses(attempt: () => unknown, what: string): string | undefined {
  try {
    attempt()
  } catch (error) {
    return error instanceof CryptoError ? undefined : `threw ${String(error)} instead of a CryptoError`
  }
  return `did not refuse ${what}`
}
