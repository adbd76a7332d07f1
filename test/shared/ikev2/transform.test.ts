import assert from 'node:assert/strict'
import { test } from 'node:test'
import { childAlgorithms, ikeAlgorithms } from '#shared/ikev2/agreed-algorithms.ts'
import { refusedTransforms } from '#shared/ikev2/refused-transforms.ts'
import {
  describe,
  encryption,
  named,
  nameOf,
  refusalOf,
  refusalOfName,
  toTransform,
  transforms,
} from '#shared/ikev2/transform.ts'
import { TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'

test('every transform has one name, and comes back from its name and from the wire', () => {
  for (const one of transforms) {
    for (const name of [one.name, ...(one.aliases ?? [])]) assert.equal(named(name.toUpperCase()), one)
    assert.equal(describe(toTransform(one)), one)
    assert.equal(nameOf(toTransform(one)), one.name)
    assert.equal(refusalOf(toTransform(one)), undefined)
  }
  const names = [...transforms, ...refusedTransforms].flatMap((one) => [one.name, ...(one.aliases ?? [])])
  assert.equal(new Set(names).size, names.length)
})

test('what issue 3 refuses is refused with a reason, under its name', () => {
  const words = ['3des', 'md5', 'prfmd5', 'sha1', 'prfsha1', 'modp768', 'modp1024', 'modp1536']
  for (const word of [...words, 'modp1024s160', 'modp2048s224', 'modp2048s256']) {
    assert.equal(named(word), undefined, word)
    assert.match(refusalOfName(word) ?? '', /^\S.*[^.]$/, word)
  }
  for (const one of refusedTransforms) {
    const transform: Transform = {
      type: one.type,
      id: one.id,
      ...(one.keyLength === undefined ? {} : { keyLength: one.keyLength }),
    }
    assert.equal(describe(transform), undefined)
    assert.equal(refusalOf(transform), one.reason)
    assert.equal(nameOf(transform), one.name)
  }
  for (const id of [1, 2, 5, 22, 23, 24]) assert.notEqual(refusalOf({ type: TransformType.KeyExchange, id }), undefined)
})

test('what nobody knows is written by its numbers and refused', () => {
  assert.equal(nameOf({ type: 1, id: 77, keyLength: 128 }), 'encr77/128')
  assert.equal(nameOf({ type: 9, id: 3 }), 'type9-3')
  assert.equal(refusalOf({ type: 9, id: 3 }), 'it is not known here')
  assert.equal(describe({ type: TransformType.Encryption, id: 20 }), undefined, 'GCM without a key length')
  assert.equal(describe({ type: TransformType.Encryption, id: 28, keyLength: 256 }), undefined, 'ChaCha20 with one (RFC 7634 §4)')
  assert.equal(describe({ type: TransformType.Prf, id: 5, unknownAttribute: true }), undefined)
  assert.equal(
    refusalOf({ type: TransformType.Prf, id: 5, unknownAttribute: true }),
    'it carries an attribute that nobody here knows',
  )
})

test('sizes of ESP ciphers add up to those of RFC 4106, 3602, 4543, 7634', () => {
  const sizes = (id: number, bits: number | undefined) => {
    const { keyBytes, saltBytes, ivBytes, icvBytes, alignBytes } = encryption(id, bits)!
    return [keyBytes, saltBytes, ivBytes, icvBytes, alignBytes]
  }
  assert.deepEqual(sizes(20, 256), [32, 4, 8, 16, 4])
  assert.deepEqual(sizes(20, 128), [16, 4, 8, 16, 4])
  assert.deepEqual(sizes(28, undefined), [32, 4, 8, 16, 4])
  assert.deepEqual(sizes(12, 256), [32, 0, 16, 0, 16])
  assert.deepEqual(sizes(21, 128), [16, 4, 8, 16, 4])
  assert.deepEqual(sizes(11, undefined), [0, 0, 0, 0, 4])
})

const proposal = (...words: string[]): Proposal => ({
  number: 1,
  protocol: 1,
  spi: new Uint8Array(0),
  transforms: words.map((word) => toTransform(named(word)!)),
})

test('agreed algorithms are whole sets or nothing', () => {
  const ike = ikeAlgorithms(proposal('aes256', 'sha256', 'prfsha384', 'ecp256'))
  assert.equal(ike.encryption.name, 'aes256')
  assert.equal(ike.integrity?.name, 'sha256')
  assert.equal(ike.prf.name, 'prfsha384')
  assert.equal(ike.keyExchange.name, 'ecp256')
  assert.throws(() => ikeAlgorithms(proposal('aes256', 'prfsha256', 'x25519')), RangeError, 'CBC without integrity')
  assert.throws(() => ikeAlgorithms(proposal('aes256gcm16', 'sha256', 'prfsha256', 'x25519')), RangeError, 'GCM with it')
  assert.throws(() => ikeAlgorithms(proposal('aes256gcm16', 'x25519')), RangeError, 'no PRF')
  assert.throws(() => ikeAlgorithms(proposal('null', 'sha256', 'prfsha256', 'x25519')), RangeError, 'no secrecy in IKE')
  const none = { type: TransformType.Integrity, id: 0 }
  const withNone = { ...proposal('aes128gcm16', 'noesn'), protocol: 3 }
  const child = childAlgorithms({
    ...withNone,
    transforms: [...withNone.transforms, none, { type: TransformType.KeyExchange, id: 0 }],
  })
  assert.deepEqual([child.integrity, child.keyExchange, child.esn], [undefined, undefined, false])
  assert.equal(childAlgorithms(proposal('null', 'sha256', 'esn')).esn, true)
  assert.throws(() => childAlgorithms(proposal('null', 'esn')), RangeError)
  assert.throws(() => childAlgorithms({ ...withNone, transforms: [{ type: 1, id: 3 }] }), RangeError)
})
