import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RouteTable } from '#shared/dataplane/route-table.ts'
import { type Cidr, contains, formatAddress, parseAddress, parseCidr } from '#shared/wire/ip-address.ts'
import fc from '#test/lab/properties.ts'

const at = <T>(table: RouteTable<T>, address: string): T | undefined => table.lookup(parseAddress(address))

test('the longest prefix wins, in both families, and host bits are masked', () => {
  const table = new RouteTable<string>()
  table.insert('fd00:1:2::/48', 'fleet')
  table.insert('fd00:1:2::9', 'host')
  table.insert('100.64.9.9/10', 'carrier')
  table.insert('100.64.0.7/32', 'seven')
  table.insert('0.0.0.0/0', 'default')
  assert.equal(at(table, 'fd00:1:2::9'), 'host')
  assert.equal(at(table, 'fd00:1:2:ffff::1'), 'fleet')
  assert.equal(at(table, 'fd00:1:3::9'), undefined)
  assert.equal(at(table, '100.64.0.7'), 'seven')
  assert.equal(at(table, '100.127.255.255'), 'carrier')
  assert.equal(at(table, '100.128.0.0'), 'default')
  assert.equal(table.size, 5)
})

test('an equal prefix is replaced, removal uncovers the next longer, values go together', () => {
  const table = new RouteTable<string>()
  table.insert('10.0.0.0/8', 'a')
  table.insert('10.0.0.1/8', 'b')
  assert.equal(table.size, 1)
  table.insert('10.1.0.0/16', 'c')
  table.insert('fd00::1', 'c')
  assert.equal(at(table, '10.1.2.3'), 'c')
  assert.equal(table.remove('10.1.0.0/15'), false)
  assert.equal(table.remove('10.1.0.0/16'), true)
  assert.equal(at(table, '10.1.2.3'), 'b')
  table.removeValue('c')
  assert.equal(at(table, 'fd00::1'), undefined)
  assert.equal(table.size, 1)
})

test('a lookup reads in the middle of a packet', () => {
  const table = new RouteTable<number>()
  table.insert('192.0.2.1', 1)
  assert.equal(table.lookup(Uint8Array.of(9, 192, 0, 2, 1, 9), 1, 4), 1)
})

test('it agrees with a plain list over any sequence of insertions and removals', () => {
  const address = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  // Few distinct bits, so that prefixes meet.
  const near = address.map((bytes) => bytes.map((byte, i) => (i === 0 ? byte & 0xc1 : i === bytes.length - 1 ? byte & 0x83 : 0)))
  const route = fc
    .tuple(near, fc.nat(128))
    .map(([bytes, length]) => `${formatAddress(bytes)}/${Math.min(length, bytes.length * 8)}`)
  const step = fc.record({ add: fc.boolean(), route, value: fc.nat(5) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.array(near, { maxLength: 10 }), (steps, asked) => {
      const table = new RouteTable<number>()
      const twin = new Map<string, { cidr: Cidr; value: number }>()
      for (const { add, route, value } of steps) {
        const key = canonical(route)
        if (add) {
          table.insert(route, value)
          twin.set(key, { cidr: parseCidr(route), value })
        } else assert.equal(table.remove(route), twin.delete(key))
      }
      assert.equal(table.size, twin.size)
      for (const bytes of asked) {
        const covering = [...twin.values()].filter(({ cidr }) => contains(cidr, bytes))
        const best = covering.sort((a, b) => b.cidr.prefix - a.cidr.prefix)[0]
        assert.equal(table.lookup(bytes), best?.value)
      }
    }),
    { numRuns: 500 },
  )
})

function canonical(route: string): string {
  const { address, prefix } = parseCidr(route)
  const masked = address.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix - i * 8))) & 0xff)
  return `${formatAddress(masked)}/${prefix}`
}
