import assert from 'node:assert/strict'
import test from 'node:test'
import { readBasic } from '#broker/enrolment/basic-credentials.ts'
import { decodeBody, encodeBody } from '#broker/enrolment/est-body.ts'
import { FailedRights } from '#broker/enrolment/failed-rights.ts'
import { HandClock } from '#test/broker/api/api-fixture.ts'

const der = Uint8Array.from({ length: 300 }, (_, i) => (i === 0 ? 0x30 : i & 0xff))

test('requests are read in every form in which clients send them', () => {
  const base64 = Buffer.from(der).toString('base64')
  const wrapped = base64.replace(/.{64}/g, '$&\r\n')
  const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${wrapped}\n-----END CERTIFICATE REQUEST-----\n`
  for (const body of [der, Buffer.from(base64), Buffer.from(wrapped), Buffer.from(pem)])
    assert.deepEqual(Uint8Array.from(decodeBody(body)), der)
  for (const body of [undefined, '', Buffer.alloc(0), Buffer.from('{"a":1}'), Buffer.from('====')])
    assert.throws(() => decodeBody(body), { code: 'request-refused' })
})

test('answers come in one line without an end, or in lines that openssl reads', () => {
  const long = new Uint8Array(1_500)
  assert.doesNotMatch(encodeBody(long, undefined), /\s/)
  assert.match(encodeBody(der, '*/*'), /^\S+\n$/)
  const lines = encodeBody(long, '*/*').split('\n')
  assert.ok(lines.every((line) => line.length <= 76) && lines.at(-1) === '')
  for (const accept of [undefined, '*/*'])
    for (const bytes of [der, long]) assert.deepEqual(Uint8Array.from(Buffer.from(encodeBody(bytes, accept), 'base64')), bytes)
})

test('credentials are a claim’s id and secret in hex, or none', () => {
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
  const claim = readBasic(basic(`ABCDEF0123456789:${'0f'.repeat(16)}`))
  assert.equal(claim?.id, 'abcdef0123456789')
  assert.deepEqual(claim?.secret, new Uint8Array(16).fill(15))
  for (const header of [
    undefined,
    '',
    'Basic',
    'Basic !!!',
    'Bearer abc',
    basic('a:b'),
    basic(`${'0'.repeat(16)}:${'0'.repeat(31)}`),
    basic(`${'0'.repeat(16)}${'0'.repeat(32)}`),
    `Basic ${'A'.repeat(10_000)}`,
  ])
    assert.equal(readBasic(header), undefined, header)
})

test('P-11 failed claims are counted by address and id, forgotten after a while, and never more than fit', () => {
  const clock = new HandClock()
  const failures = new FailedRights(clock)
  for (let i = 0; i < 10; i++) failures.failed('192.0.2.1', 'a')
  assert.ok(failures.isBlocked('192.0.2.1', 'a'))
  assert.ok(!failures.isBlocked('192.0.2.1', 'b') && !failures.isBlocked('192.0.2.2', 'a'))
  clock.forward(10 * 60_000)
  assert.ok(!failures.isBlocked('192.0.2.1', 'a'))
  for (let i = 0; i < 10; i++) failures.failed('192.0.2.1', 'a')
  for (let i = 0; i < 10_001; i++) failures.failed('192.0.2.3', String(i))
  assert.ok(!failures.isBlocked('192.0.2.1', 'a'))
})
