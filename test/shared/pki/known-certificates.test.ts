import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseChain, verifyChain } from '#shared/pki/chain.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KnownCertificates } from '#shared/pki/known-certificates.ts'
import { wallTime } from '#shared/time/instant.ts'
import { end, makeLeaf, makeRoot, now } from '#test/shared/pki/built-chain.ts'

const root = makeRoot()
const leafOf = (name: string) => makeLeaf(root, { subject: commonName(name) }).certificate

test('a certificate that was kept is found by its bytes, and by nothing else', () => {
  const known = new KnownCertificates()
  const { der } = leafOf('one')
  const first = known.parse(der)
  assert.notEqual(known.parse(der), first, 'nothing is kept unasked')
  known.keep(first)
  assert.equal(known.parse(Uint8Array.from(der)), first)
  const forged = Uint8Array.from(der)
  forged[60] = forged[60]! ^ 1
  let found: unknown
  try {
    found = known.parse(forged)
  } catch (error) {
    found = error
  }
  assert.notEqual(found, first, 'the same signature under other words')
})

test('a kept certificate does not hang on to the message that it came in', () => {
  const known = new KnownCertificates()
  const { der } = leafOf('two')
  const message = new Uint8Array(4000)
  message.set(der, 100)
  const certificate = known.parse(message.subarray(100, 100 + der.length))
  message.fill(0)
  assert.deepEqual(certificate.der, der)
  assert.equal(certificate.der.buffer.byteLength, der.length)
})

test('the least recently used leaves first', () => {
  const known = new KnownCertificates(2)
  const [a, b, c] = [leafOf('a'), leafOf('b'), leafOf('c')]
  for (const one of [a, b, a, c]) known.keep(one)
  assert.equal(known.parse(a.der), a)
  assert.equal(known.parse(c.der), c)
  assert.notEqual(known.parse(b.der), b)
})

test('a known certificate is still judged by its time', () => {
  const known = new KnownCertificates()
  const { der } = leafOf('three')
  const judge = (at: number) => {
    const { leaf } = parseChain([der], known.parse)
    verifyChain(leaf, [], { anchors: [root.certificate], now: wallTime(at), purposes: [] })
    known.keep(leaf)
    return leaf
  }
  assert.equal(judge(now), judge(now))
  assert.throws(() => judge(end + 1000), { name: 'PkiError' })
})
