import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { sourceFiles } from '#test/house/source-files.ts'

test('no program of ours calls generateKeyPair of node:crypto: in Node 20 a garbage collection may deadlock it', () => {
  const found = sourceFiles('shared', 'agent', 'broker').filter(({ text }) =>
    /crypto\.generateKeyPair|\bgenerateKeyPair(Sync)?\(['"](x25519|ed25519|ec)/.test(text),
  )
  assert.deepEqual(
    found.map(({ path }) => path),
    [],
  )
})

test('generated pairs are fresh, and their own private key leads to them', () => {
  for (const algorithm of [nativeSuite.x25519, nativeSuite.ed25519]) {
    const [one, two] = [algorithm.generate(), algorithm.generate()]
    assert.notDeepEqual(one.privateKey, two.privateKey)
    assert.deepEqual(algorithm.pair(one.privateKey).publicKey, one.publicKey)
  }
})
