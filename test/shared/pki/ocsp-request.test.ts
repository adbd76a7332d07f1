import assert from 'node:assert/strict'
import test from 'node:test'
import { boolean, element, octetString, oid, sequence, smallInteger, unsignedInteger } from '#shared/pki/der-writer.ts'
import { decodeOcspRequest, OCSP_REQUEST_LIMIT } from '#shared/pki/ocsp-request.ts'
import { access, algorithms } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

const certId = (hash: string = algorithms.sha1, serial = Uint8Array.of(0x41, 2, 3)): Uint8Array =>
  sequence(
    sequence(oid(hash), element(5)),
    octetString(new Uint8Array(20)),
    octetString(new Uint8Array(20)),
    unsignedInteger(serial),
  )
const extension = (name: string, critical: boolean, value: Uint8Array): Uint8Array =>
  sequence(oid(name), ...(critical ? [boolean(true)] : []), octetString(value))
const request = (ids: readonly Uint8Array[], extensions: readonly Uint8Array[] = []): Uint8Array =>
  sequence(
    sequence(
      element(0xa0, smallInteger(0)),
      sequence(...ids.map((id) => sequence(id))),
      ...(extensions.length === 0 ? [] : [element(0xa2, sequence(...extensions))]),
    ),
  )
const nonce = (length: number): Uint8Array => extension(access.ocspNonce, false, octetString(new Uint8Array(length).fill(7)))
const refusedAs = (code: string) => (error: unknown) => error instanceof PkiError && error.code === code

test('ids and nonce are read as they were written', () => {
  const { ids, nonce: said } = decodeOcspRequest(request([certId(), certId(algorithms.sha256)], [nonce(32)]))
  assert.deepEqual(
    ids.map(({ hash, serialHex }) => [hash, serialHex]),
    [
      ['sha1', '410203'],
      ['sha256', '410203'],
    ],
  )
  assert.deepEqual(ids[0]?.der, certId())
  assert.equal(said?.length, 32)
  assert.equal(decodeOcspRequest(request([certId()])).nonce, undefined)
})

test('what is no request is refused by its code, and nothing else is thrown: cut at every length, every bit flipped', () => {
  const good = request([certId()], [nonce(32), extension('1.2.3', false, Uint8Array.of(1))])
  for (let length = 0; length < good.length; length++)
    assert.throws(() => decodeOcspRequest(good.subarray(0, length)), PkiError, `cut at ${length}`)
  assert.throws(() => decodeOcspRequest(Uint8Array.of(...good, 0)), PkiError)
  for (let bit = 0; bit < good.length * 8; bit++) {
    const flipped = Uint8Array.from(good)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    try {
      assert.ok(decodeOcspRequest(flipped).ids.length > 0)
    } catch (error) {
      assert.ok(error instanceof PkiError, String(error))
    }
  }
  const rows: [Uint8Array, string][] = [
    [request([]), 'der-malformed'],
    [request(Array.from({ length: 17 }, () => certId())), 'too-large'],
    [request([certId('1.2.840.113549.2.5')]), 'algorithm-unsupported'],
    [request([certId(algorithms.sha1, new Uint8Array(21).fill(0x41))]), 'too-large'],
    [request([certId()], [nonce(0)]), 'der-malformed'],
    [request([certId()], [nonce(129)]), 'der-malformed'],
    [request([certId()], [extension('1.2.3', true, Uint8Array.of(1))]), 'der-malformed'],
    [new Uint8Array(OCSP_REQUEST_LIMIT + 1), 'too-large'],
  ]
  for (const [bytes, code] of rows) assert.throws(() => decodeOcspRequest(bytes), refusedAs(code))
})
