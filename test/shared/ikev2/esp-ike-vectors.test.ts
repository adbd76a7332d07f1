import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { concat } from '#shared/bytes/concat.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { HashName, Suite } from '#shared/crypto/suite.ts'
import { group, integrities, keyExchanges, named, prfs } from '#shared/ikev2/transform.ts'

const vectors = process.env.ADIT_VECTORS ?? join(import.meta.dirname, '../../../../shared/vectors')
const folder = join(vectors, 'esp-ike')
const skip = existsSync(folder) ? false : `no vectors in ${folder}`

type Case = Readonly<Record<string, string>>
const load = (name: string): Readonly<Record<string, Case[]>> => JSON.parse(readFileSync(join(folder, name), 'utf8'))
const bytes = (one: Case, name: string): Uint8Array => fromHex(one[name] ?? assert.fail(`${one.id} has no ${name}`))

for (const suite of [nativeSuite, nobleSuite] as readonly Suite[]) {
  test(`aead.json: AES-GCM and ChaCha20-Poly1305 with salt and explicit IV (${suite.name})`, { skip }, () => {
    const { aes_gcm = [], chacha20poly1305 = [] } = load('aead.json')
    let judged = 0
    for (const one of [...aes_gcm, ...chacha20poly1305]) {
      const key = (one.alg === 'ENCR_CHACHA20_POLY1305' ? suite.chacha20poly1305 : suite.aesGcm).key(bytes(one, 'encKey'))
      const nonce = concat(bytes(one, 'salt'), bytes(one, 'iv'))
      const plain = bytes(one, 'plain')
      const sealed = new Uint8Array(plain.length + 16)
      key.seal(nonce, bytes(one, 'adata'), plain, sealed)
      // Shorter tags are refused on the wire; they are the beginning of the whole one.
      assert.ok(toHex(sealed).startsWith(one.cipher!), one.id)
      assert.equal(key.open(nonce, bytes(one, 'adata'), sealed, new Uint8Array(plain.length)), plain.length)
      judged++
    }
    assert.ok(judged >= 17)
  })

  test(`crypt-cbc-ctr.json: AES-CBC both ways (${suite.name})`, { skip }, () => {
    for (const one of load('crypt-cbc-ctr.json').aes_cbc ?? []) {
      const key = suite.aesCbc.key(bytes(one, 'key'))
      const plain = bytes(one, 'plain')
      const out = new Uint8Array(plain.length)
      assert.equal(key.encrypt(bytes(one, 'iv'), plain, out), plain.length)
      assert.equal(toHex(out), one.cipher)
      assert.equal(key.decrypt(bytes(one, 'iv'), out, out), plain.length)
      assert.deepEqual(out, plain, 'in place')
    }
  })

  test(`prf-integ.json: HMAC as a PRF and cut to its ICV (${suite.name})`, { skip }, () => {
    const { sha1_hmac = [], sha2_hmac = [] } = load('prf-integ.json')
    for (const one of [...sha1_hmac, ...sha2_hmac]) {
      const bits = /SHA2_(\d+)/.exec(one.alg!)?.[1] ?? '1'
      const hash = `sha${bits}` as HashName
      const ready = suite.hmacKey(hash, bytes(one, 'key'))
      const data = bytes(one, one.kind === 'prf' ? 'seed' : 'data')
      const whole = toHex(ready.mac(data))
      assert.equal(toHex(suite.hmac(hash, bytes(one, 'key'), data)), whole)
      const stated = (one.kind === 'prf' ? one.out : one.mac)!
      assert.equal(whole.slice(0, stated.length), stated, one.id)
      if (bits === '1') continue
      if (one.kind === 'prf') assert.equal(prfs.find((prf) => prf.hash === hash)?.outputBytes, stated.length / 2)
      else assert.equal(integrities.find((integrity) => integrity.hash === hash)?.icvBytes, stated.length / 2)
    }
  })

  test(`key-exchange.json: every group that we speak (${suite.name})`, { skip }, () => {
    const judged = new Set<string>()
    for (const one of Object.values(load('key-exchange.json')).flat()) {
      if (typeof one !== 'object') continue
      const descriptor = named(one.id!.replace(/_\d$/, ''))
      const dh = descriptor && group(descriptor.id, suite)
      if (dh === undefined) continue
      const [initiator, responder] = [dh.pair(bytes(one, 'priv_i')), dh.pair(bytes(one, 'priv_r'))]
      assert.equal(toHex(initiator.publicKey), one.pub_i)
      assert.equal(toHex(responder.publicKey), one.pub_r)
      assert.equal(toHex(dh.shared(initiator, responder.publicKey)), one.shared)
      assert.equal(toHex(dh.shared({ ...responder }, initiator.publicKey)), one.shared, 'a pair from elsewhere')
      judged.add(descriptor!.name)
    }
    assert.deepEqual([...judged].sort(), ['ecp256', 'modp2048', 'modp3072', 'x25519'])
  })

  test(`the sizes of every group are those of its descriptor (${suite.name})`, () => {
    for (const { id, name, publicBytes, sharedBytes } of keyExchanges) {
      const dh = group(id, suite)!
      const [a, b] = [dh.generate(), dh.generate()]
      assert.equal(dh.publicKeyLength, publicBytes, name)
      assert.equal(dh.sharedLength, sharedBytes, name)
      assert.equal(a.publicKey.length, publicBytes, name)
      const secret = dh.shared(a, b.publicKey)
      assert.equal(secret.length, sharedBytes, name)
      assert.deepEqual(secret, dh.shared(b, a.publicKey), name)
    }
  })
}
