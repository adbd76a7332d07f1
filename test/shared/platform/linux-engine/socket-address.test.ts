import assert from 'node:assert/strict'
import { test } from 'node:test'
import { abis } from '#shared/platform/linux-engine/abi.ts'
import { NativeMemory } from '#shared/platform/linux-engine/memory.ts'
import { readSocketAddress, sameSocketAddress, writeSocketAddress } from '#shared/platform/linux-engine/socket-address.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'
import fc from '#test/lab/properties.ts'

const memory = new NativeMemory(65_536, abis.x64!, () => 0)
const hexAt = (at: number, length: number) => Buffer.from(memory.bytes.subarray(at, at + length)).toString('hex')

test('the structures are those of Linux to the byte', () => {
  memory.bytes.fill(0xff)
  assert.equal(writeSocketAddress(memory, 64, { address: '192.0.2.1', port: 51820 }), 16)
  assert.equal(hexAt(64, 16), '0200ca6cc00002010000000000000000')
  assert.equal(writeSocketAddress(memory, 64, { address: '2001:db8::1', port: 443 }), 28)
  assert.equal(hexAt(64, 28), '0a0001bb0000000020010db800000000000000000000000100000000')
  assert.equal(writeSocketAddress(memory, 64, { address: 'fe80::1%7', port: 443 }), 28)
  assert.equal(hexAt(64, 28), '0a0001bb00000000fe80000000000000000000000000000107000000')
  assert.deepEqual(readSocketAddress(memory, 64), { address: 'fe80::1%7', port: 443 })
})

test('what is no literal address is refused, and another family is not read', () => {
  for (const address of ['', 'host.example', '192.0.2.256', '192.0.2.1%1', 'websocket/3', ':::'])
    assert.equal(writeSocketAddress(memory, 0, { address, port: 1 }), 0, address)
  memory.bytes.fill(0, 0, 28)
  assert.equal(readSocketAddress(memory, 0), undefined)
})

test('an IPv4-mapped address is told as what it is', () => {
  writeSocketAddress(memory, 0, { address: '::ffff:192.0.2.9', port: 5 })
  assert.deepEqual(readSocketAddress(memory, 0), { address: '192.0.2.9', port: 5 })
})

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const endpoint = fc.record({
  address: fc.oneof(bytes(4), bytes(16)).map((address) => formatAddress(address)),
  port: fc.nat(65_535),
})

test('what was written is read again, and equal endpoints are the same bytes', () => {
  fc.assert(
    fc.property(endpoint, endpoint, fc.boolean(), (one, other, again) => {
      const second = again ? one : other
      assert.ok(writeSocketAddress(memory, 0, one) > 0)
      assert.ok(writeSocketAddress(memory, 64, second) > 0)
      if (!one.address.startsWith('::ffff:')) assert.deepEqual(readSocketAddress(memory, 0), { ...one })
      assert.equal(sameSocketAddress(memory, 0, 64), one.address === second.address && one.port === second.port)
      // Nobody is another because a router labelled the flow.
      if (one.address.includes(':')) memory.words[1] = 0x1234
      if (again) assert.ok(sameSocketAddress(memory, 0, 64))
    }),
  )
})
