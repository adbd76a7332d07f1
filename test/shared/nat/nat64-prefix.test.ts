import assert from 'node:assert/strict'
import test from 'node:test'
import {
  behindNat64,
  embedIpv4,
  extractIpv4,
  type Nat64View,
  prefixesIn,
  tryParsePrefix,
  withNat64,
} from '#shared/nat/nat64-prefix.ts'
import { formatAddress, formatCidr, parseAddress, parseCidr } from '#shared/wire/ip-address.ts'
import fc from '#test/lab/properties.ts'

/** RFC 6052 §2.4, as its tables write them, each for 192.0.2.33. */
const vectors: readonly (readonly [prefix: string, embedded: string])[] = [
  ['2001:db8::/32', '2001:db8:c000:221::'],
  ['2001:db8:100::/40', '2001:db8:1c0:2:21::'],
  ['2001:db8:122::/48', '2001:db8:122:c000:2:2100::'],
  ['2001:db8:122:300::/56', '2001:db8:122:3c0:0:221::'],
  ['2001:db8:122:344::/64', '2001:db8:122:344:c0:2:2100::'],
  ['2001:db8:122:344::/96', '2001:db8:122:344::192.0.2.33'],
]
const documented = parseAddress('192.0.2.33')
const lengths = [32, 40, 48, 56, 64, 96]

test('the vectors of RFC 6052 §2.4, there and back', () => {
  for (const [prefix, text] of vectors) {
    const embedded = parseAddress(text)
    assert.deepEqual(embedIpv4(parseCidr(prefix), documented), embedded, prefix)
    assert.deepEqual(extractIpv4(parseCidr(prefix), embedded), documented, prefix)
  }
})

test('the well-known prefix takes what is global, and nothing else (RFC 6052 §3.1)', () => {
  const wellKnown = parseCidr('64:ff9b::/96')
  assert.deepEqual(embedIpv4(wellKnown, parseAddress('8.8.4.4')), parseAddress('64:ff9b::808:404'))
  for (const address of ['10.1.2.3', '192.168.1.1', '100.64.0.1', '172.16.0.1', '192.0.2.33', '203.0.113.1'])
    assert.equal(embedIpv4(wellKnown, parseAddress(address)), undefined, address)
  // Of a network's own prefix its owner knows what it leads to.
  assert.ok(embedIpv4(parseCidr('64:ff9b:1::/48'), parseAddress('10.1.2.3')))
})

test('places that mean something to one host alone are never translated', () => {
  for (const address of ['127.0.0.1', '0.0.0.0', '169.254.1.1', '224.0.0.1', '255.255.255.255', '::1'])
    assert.equal(embedIpv4(parseCidr('2001:db8::/32'), parseAddress(address)), undefined, address)
})

const anyPrefix = fc
  .tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.constantFrom(...lengths))
  .map(([bytes, prefix]) => {
    const address = new Uint8Array(16)
    address.set(bytes.subarray(0, prefix / 8))
    // A unicast network, whose bits 64 to 71 are zero.
    address[0] = 0x20 | (address[0]! & 0x0f)
    address[8] = 0
    return { address, prefix }
  })

test('every prefix of every length is found again in what a DNS64 makes of ipv4only.arpa, and leads there and back', () => {
  fc.assert(
    fc.property(anyPrefix, fc.uint8Array({ minLength: 3, maxLength: 3 }), (prefix, tail) => {
      const made = [170, 171].map((last) => formatAddress(embedIpv4(prefix, Uint8Array.of(192, 0, 0, last))!))
      assert.deepEqual(prefixesIn(made).map(formatCidr), [formatCidr(prefix)])
      const ipv4 = Uint8Array.of(20, ...tail)
      assert.deepEqual(extractIpv4(prefix, embedIpv4(prefix, ipv4)!), ipv4)
    }),
  )
})

test('RFC 7050 §3: one of the two addresses is enough; several prefixes are several ways', () => {
  assert.deepEqual(prefixesIn(['64:ff9b::c000:aa']).map(formatCidr), ['64:ff9b::/96'])
  const both = ['2001:db8:64::c000:aa', '64:ff9b::c000:aa', '64:ff9b::c000:ab', '2001:db8:64::c000:ab']
  assert.deepEqual(prefixesIn(both).map(formatCidr), ['2001:db8:64::/96', '64:ff9b::/96'])
})

test('RFC 7050 §3: a prefix that has the address in itself is told from it by the other address', () => {
  // 2001:db8:c000:aa::/96, whose bytes 4 to 7 are 192.0.0.170 already.
  const addresses = ['2001:db8:c000:aa::c000:aa', '2001:db8:c000:aa::c000:ab']
  assert.deepEqual(prefixesIn(addresses).map(formatCidr), ['2001:db8:c000:aa::/96'])
  assert.deepEqual(prefixesIn(addresses.slice(0, 1)), [], 'alone it says nothing')
})

test('what is no answer of a DNS64 gives no prefix', () => {
  const addresses = [
    ...['192.0.0.170', 'nonsense', '2001:db8::1', '2001:db8::c000:ac', '::ffff:192.0.0.170', '::192.0.0.170'],
    ...['fe80::c000:aa', 'ff02::c000:aa', '2001:db8:0:0:100::c000:aa'],
  ]
  assert.deepEqual(prefixesIn(addresses), [])
})

test('prefixes as text: of the lengths that there are, and of networks that can be', () => {
  assert.equal(formatCidr(tryParsePrefix('2001:db8:64::/96')!), '2001:db8:64::/96')
  for (const text of [
    '2001:db8::/33',
    '2001:db8::/128',
    '2001:db8:0:0:100::/96',
    '10.0.0.0/8',
    '::ffff:0:0/96',
    'fe80::/64',
    'x',
    '2001:db8::',
  ])
    assert.equal(tryParsePrefix(text), undefined, text)
})

test('addresses with a NAT64 beside them: before the IPv4 address, or after it where it is a guess', () => {
  const view = (how: Nat64View['how']): Nat64View => ({ how, prefixes: [parseCidr('2001:db8:64::/96')] })
  const addresses = ['2001:db8:9::1', '198.51.100.2', '127.0.0.1']
  const made = '2001:db8:64::c633:6402'
  assert.deepEqual(withNat64(addresses, view('discovered')), ['2001:db8:9::1', made, '198.51.100.2', '127.0.0.1'])
  assert.deepEqual(withNat64(addresses, view('guessed')), ['2001:db8:9::1', '198.51.100.2', made, '127.0.0.1'])
  assert.equal(withNat64(addresses, undefined), addresses)
  assert.equal(behindNat64(made, view('discovered')), '198.51.100.2')
  assert.equal(behindNat64('2001:db8:9::1', view('discovered')), '2001:db8:9::1')
  assert.equal(behindNat64(made, undefined), made)
})
