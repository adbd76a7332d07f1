import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { concat } from '#shared/bytes/concat.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { HashName, Suite } from '#shared/crypto/suite.ts'
import type { ChildAlgorithms, IkeAlgorithms } from '#shared/ikev2/agreed-algorithms.ts'
import {
  deriveChildKeys,
  deriveIkeKeys,
  type IkeKeys,
  mixPpk,
  prfFunction,
  prfPlus,
  rekeyedSkeyseed,
  resumedSkeyseed,
  skeyseed,
} from '#shared/ikev2/key-material.ts'
import { encryptions, integrities, keyExchanges, prfs } from '#shared/ikev2/transform.ts'

const vectors = process.env.ADIT_VECTORS ?? join(import.meta.dirname, '../../../../shared/vectors')
const file = join(vectors, 'esp-ike/ikev2-kdf.json')
const skip = existsSync(file) ? false : `no vectors in ${file}`

type Case = Readonly<Record<string, string>>
const cases = (): Case[] => (JSON.parse(readFileSync(file, 'utf8')) as { vectors: Case[] }).vectors
const bytes = (one: Case, name: string): Uint8Array => fromHex(one[name] ?? assert.fail(`the case has no ${name}`))
const hashes: Readonly<Record<string, HashName>> = {
  PRF_HMAC_SHA1: 'sha1',
  PRF_HMAC_SHA2_256: 'sha256',
  PRF_HMAC_SHA2_384: 'sha384',
  PRF_HMAC_SHA2_512: 'sha512',
}

const gcm = encryptions.find(({ name }) => name === 'aes256gcm16')!
const cbc = encryptions.find(({ name }) => name === 'aes128')!
const sha256 = integrities.find(({ name }) => name === 'sha256')!
const x25519 = keyExchanges[0]!

for (const suite of [nativeSuite, nobleSuite]) {
  test(`the key derivations that NIST and libreswan give are ours too (${suite.name})`, { skip }, () => {
    for (const one of cases()) {
      const hash = hashes[one.prf!]!
      const prf = (key: Uint8Array, ...data: readonly Uint8Array[]) => suite.hmac(hash, key, ...data)
      const both = 'Ni' in one ? concat(bytes(one, 'Ni'), bytes(one, 'Nr')) : bytes(one, 'Ni||Nr')
      const half = both.length / 2
      const nonces = { initiator: both.subarray(0, half), responder: both.subarray(half) }
      const seed = skeyseed(prf, nonces, bytes(one, 'g^ir'))
      assert.equal(toHex(seed), one.SKEYSEED)
      const dkm = one.DKM ?? one['DKM (SK_d|SK_ai|SK_ar|SK_ei|SK_er|SK_pi|SK_pr)']!
      const all = prfPlus(prf, seed, concat(both, bytes(one, 'SPIi'), bytes(one, 'SPIr')), dkm.length / 2)
      assert.equal(toHex(all), dkm)
      if (hash !== 'sha1') assertKeys(suite, hash, one, seed, nonces, dkm)
      if (!('SKEYSEED(Rekey)' in one)) continue
      const d = all.subarray(0, 20)
      assert.equal(toHex(rekeyedSkeyseed(prf, d, bytes(one, 'g^ir (new)'), nonces)), one['SKEYSEED(Rekey)'])
      const child = one['DKM(Child SA)']!
      assert.equal(toHex(prfPlus(prf, d, both, child.length / 2)), child)
      const algorithms: ChildAlgorithms = { encryption: cbc, integrity: sha256, keyExchange: x25519, esn: true }
      assert.ok(child.startsWith(flat(deriveChildKeys(prf, d, algorithms, nonces, undefined))))
      assert.ok(one['DKM(Child SA D-H)']!.startsWith(flat(deriveChildKeys(prf, d, algorithms, nonces, bytes(one, 'g^ir (new)')))))
    }
  })
}

/** The seven keys are the pieces of the vector's material, in the order of RFC 7296 §2.14. */
function assertKeys(suite: Suite, hash: HashName, one: Case, seed: Uint8Array, nonces: never | object, dkm: string): void {
  const prf = prfs.find((candidate) => candidate.hash === hash)!
  const spis = { initiator: BigInt(`0x${one.SPIi}`), responder: BigInt(`0x${one.SPIr}`) }
  for (const [encryption, integrity] of [
    [gcm, undefined],
    [cbc, sha256],
  ] as const) {
    const algorithms: IkeAlgorithms = { encryption, integrity, prf, keyExchange: x25519 }
    const keys = deriveIkeKeys(prfFunction(suite, prf), algorithms, seed, nonces as never, spis)
    const line = [keys.d, keys.ai, keys.ar, keys.ei, keys.er, keys.pi, keys.pr].map(toHex).join('')
    const shorter = Math.min(line.length, dkm.length)
    assert.equal(line.slice(0, shorter), dkm.slice(0, shorter))
    assert.equal(keys.ai.length, integrity?.keyBytes ?? 0)
    assert.equal(keys.er.length, encryption.keyBytes + encryption.saltBytes)
    assert.equal(keys.pr.length, prf.outputBytes)
  }
}

const flat = ({ initiator, responder }: ReturnType<typeof deriveChildKeys>): string =>
  [initiator.encryption, initiator.integrity, responder.encryption, responder.integrity].map(toHex).join('')

const prf256 = prfs[0]!
const prf = prfFunction(nativeSuite, prf256)
const nonces = { initiator: Uint8Array.from({ length: 32 }, (_, i) => i), responder: new Uint8Array(32).fill(7) }

test('prf+ gives at most 255 blocks', () => {
  assert.equal(prfPlus(prf, new Uint8Array(32), nonces.initiator, 255 * 32).length, 255 * 32)
  assert.throws(() => prfPlus(prf, new Uint8Array(32), nonces.initiator, 255 * 32 + 1), RangeError)
})

test('a PPK changes SK_d, SK_pi and SK_pr, and nothing else (RFC 8784 §3)', () => {
  const key = (fill: number, length = 32) => new Uint8Array(length).fill(fill)
  const keys: IkeKeys = { d: key(1), ai: key(2), ar: key(3), ei: key(4), er: key(5), pi: key(6), pr: key(7) }
  const ppk = key(9, 48)
  const mixed = mixPpk(prf, keys, ppk)
  for (const name of ['ai', 'ar', 'ei', 'er'] as const) assert.deepEqual(mixed[name], keys[name])
  for (const name of ['d', 'pi', 'pr'] as const) {
    // One block of prf+ is prf(PPK, key | 01).
    assert.deepEqual(mixed[name], nativeSuite.hmac('sha256', ppk, keys[name], Uint8Array.of(1)))
    assert.notDeepEqual(mixed[name], keys[name])
  }
})

test('a resumed session begins with prf(SK_d, "Resumption" | Ni | Nr) (RFC 5723 §5.1)', () => {
  const d = new Uint8Array(32).fill(3)
  const text = new TextEncoder().encode('Resumption')
  const stated = nativeSuite.hmac('sha256', d, concat(text, nonces.initiator, nonces.responder))
  assert.deepEqual(resumedSkeyseed(prf, d, nonces), stated)
})

test('keys are pieces of their own memory: wiping one leaves the others', () => {
  const algorithms: ChildAlgorithms = { encryption: gcm, integrity: undefined, keyExchange: undefined, esn: false }
  const keys = deriveChildKeys(prf, new Uint8Array(32), algorithms, nonces, undefined)
  const kept = Uint8Array.from(keys.responder.encryption)
  keys.initiator.encryption.fill(0)
  assert.deepEqual(keys.responder.encryption, kept)
  assert.equal(keys.responder.encryption.buffer.byteLength, 36)
})
