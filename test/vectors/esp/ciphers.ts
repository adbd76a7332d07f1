import { concat } from '#shared/bytes/concat.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { encryption, integrity, nameOf, refusalOf } from '#shared/ikev2/transform.ts'
import { Encryption } from '#shared/wire/ike-numbers.ts'
import type { Transform } from '#shared/wire/ike-payload/payload.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, hexField, numberField, textField } from '../fields.ts'
import { casesIn } from '../ike/cases.ts'
import type { Judgement, Verdicts } from '../verdict.ts'
import { encryptionNamed, integrityNamed } from './algorithms.ts'

/** strongSwan's `{family: [{kind: 'aead' | 'crypter' | 'signer', alg, key, …}]}`: the algorithms of ESP by themselves. */
const judges: Readonly<Record<string, (one: Fields) => Judgement>> = {
  aead: judgeAead,
  crypter: judgeCrypter,
  signer: judgeSigner,
}

export const recognises = (_path: string, contents: unknown): boolean => casesIn(contents, Object.keys(judges)).length > 0

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  for (const one of casesIn(contents, Object.keys(judges)))
    verdicts.settle(path, textField(one, 'id'), () => judges[textField(one, 'kind')]!(one))
}

const refused = (transform: Transform | undefined, name: string): Judgement =>
  transform === undefined
    ? { skip: `${name} is not ours` }
    : { skip: `${nameOf(transform)} is refused: ${refusalOf(transform) ?? 'it is not spoken'}` }

/** `{encKey, salt, iv, adata, plain, cipher}`: the nonce is salt and IV. */
function judgeAead(one: Fields): Judgement {
  const name = textField(one, 'alg')
  const key = hexField(one, 'encKey')
  const transform = encryptionNamed(name, key.length)
  if (transform === undefined || encryption(transform.id, transform.keyLength) === undefined) return refused(transform, name)
  const nonce = concat(hexField(one, 'salt'), hexField(one, 'iv'))
  const [aad, plain, cipher] = [hexField(one, 'adata'), hexField(one, 'plain'), hexField(one, 'cipher')]
  return underBoth((suite) => {
    const aead = (transform.id === Encryption.ChaCha20Poly1305 ? suite.chacha20poly1305 : suite.aesGcm).key(key)
    const out = new Uint8Array(cipher.length)
    if (aead.seal(nonce, aad, plain, out) !== cipher.length || !equalPublic(out, cipher)) return `it became ${toHex(out)}`
    const opened = aead.open(nonce, aad, cipher, out)
    if (opened !== plain.length || !equalPublic(out.subarray(0, opened), plain)) return 'it does not open to what was sealed'
    const forged = cipher.slice()
    forged[0]! ^= 1
    return aead.open(nonce, aad, forged, out) < 0 ? undefined : 'a forgery was taken'
  })
}

/** `{key, iv, plain, cipher}`. */
function judgeCrypter(one: Fields): Judgement {
  const name = textField(one, 'alg')
  const transform = encryptionNamed(name, numberField(one, 'key_size'))
  if (transform === undefined || encryption(transform.id, transform.keyLength)?.mode !== 'cbc') return refused(transform, name)
  const [key, iv, plain, cipher] = [hexField(one, 'key'), hexField(one, 'iv'), hexField(one, 'plain'), hexField(one, 'cipher')]
  return underBoth((suite) => {
    const aes = suite.aesCbc.key(key)
    const out = new Uint8Array(cipher.length)
    aes.encrypt(iv, plain, out)
    if (!equalPublic(out, cipher)) return `it became ${toHex(out)}`
    aes.decrypt(iv, cipher, out)
    return equalPublic(out, plain) ? undefined : `it was decrypted to ${toHex(out)}`
  })
}

/** `{key, data, mac}`, the MAC cut as it goes on the wire. */
function judgeSigner(one: Fields): Judgement {
  const name = textField(one, 'alg')
  const transform = integrityNamed(name)
  const descriptor = transform && integrity(transform.id)
  if (descriptor === undefined) return refused(transform, name)
  const [key, data, mac] = [hexField(one, 'key'), hexField(one, 'data'), hexField(one, 'mac')]
  if (key.length !== descriptor.keyBytes) return { skip: `${descriptor.name} with a key of another length: never made here` }
  return underBoth((suite) => {
    const made = suite.hmacKey(descriptor.hash, key).mac(data).subarray(0, descriptor.icvBytes)
    return equalPublic(made, mac) ? undefined : `it became ${toHex(made)}`
  })
}
