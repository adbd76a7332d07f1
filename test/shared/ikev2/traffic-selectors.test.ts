import assert from 'node:assert/strict'
import test from 'node:test'
import { parseSelector, selectorText, selectorTexts } from '#shared/ikev2/selector-text.ts'
import {
  contains,
  covers,
  coversAddress,
  fromAddress,
  fromCidr,
  intersect,
  isNarrowed,
  isWithin,
  narrow,
  narrowPair,
  overlap,
  type SelectorPair,
  sameSelector,
  singlePair,
} from '#shared/ikev2/traffic-selectors.ts'
import type { TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import { parseAddress, parseCidr } from '#shared/wire/ip-address.ts'
import fc from '#test/lab/properties.ts'

const ts = (...texts: string[]): TrafficSelector[] => texts.map(parseSelector)
const narrowed = (offered: readonly string[], allowed: readonly string[]): string[] =>
  selectorTexts(narrow(ts(...offered), ts(...allowed)))

test('networks: host bits are cut, every prefix of both families', () => {
  assert.equal(selectorText(fromCidr(parseCidr('192.168.1.77/24'))), '192.168.1.0/24')
  assert.equal(selectorText(fromAddress(parseAddress('fd00::1'))), 'fd00::1/128')
  for (let prefix = 0; prefix <= 32; prefix++)
    assert.match(selectorText(fromCidr({ address: parseAddress('255.255.255.255'), prefix })), new RegExp(`/${prefix}$`))
  for (let prefix = 0; prefix <= 128; prefix++) {
    const selector = fromCidr({ address: parseAddress('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'), prefix })
    assert.match(selectorText(selector), new RegExp(`/${prefix}$`))
    assert.deepEqual(parseSelector(selectorText(selector)), selector)
  }
})

test('texts are those of swanctl.conf, both ways', () => {
  const same = [
    '10.0.0.0/8',
    '10.0.0.1..10.0.0.9',
    'fd00::/64[tcp/443]',
    '0.0.0.0/0[udp/1000-1999]',
    '10.0.0.1/32[/opaque]',
    '::/0[ipv6-icmp]',
    '10.0.0.0/24[99]',
    '::ffff:10.0.0.1/128[/53]',
  ]
  for (const text of same) assert.equal(selectorText(parseSelector(text)), text)
  for (const [text, canonical] of [
    ['10.0.0.1', '10.0.0.1/32'],
    ['10.0.0.0-10.0.0.255', '10.0.0.0/24'],
    ['10.0.0.0..10.0.1.255[17]', '10.0.0.0/23[udp]'],
    ['fd00::1-fd00::2', 'fd00::1..fd00::2'],
    ['10.0.0.1[tcp/any]', '10.0.0.1/32[tcp]'],
    [' 10.0.0.1/24 ', '10.0.0.0/24'],
    ['::/0[icmpv6]', '::/0[ipv6-icmp]'],
  ] as const)
    assert.equal(selectorText(parseSelector(text)), canonical)
  for (const text of [
    '',
    '10.0.0.0/33',
    '10.0.0.9..10.0.0.1',
    '10.0.0.1..fd00::1',
    '10.0.0.1[tcp/9-3]',
    '10.0.0.1[tcp/70000]',
    '10.0.0.1[nope]',
    '10.0.0.1[256]',
    '10.0.0.1[tcp',
    'pump.example',
    '10.0.0.1[tcp/1-2-3]',
  ])
    assert.throws(() => parseSelector(text), { code: 'config-invalid' }, text)
})

test('narrowing: all, some, none (RFC 7296 §2.9)', () => {
  assert.deepEqual(narrowed(['192.168.1.0/24'], ['192.168.0.0/16']), ['192.168.1.0/24'], 'the whole offer is allowed')
  assert.deepEqual(
    narrowed(['0.0.0.0/0', '::/0'], ['10.7.0.0/16', 'fd00::/64']),
    ['10.7.0.0/16', 'fd00::/64'],
    'a road warrior asks for everything',
  )
  assert.deepEqual(narrowed(['10.0.0.0/8'], ['10.1.0.0/16', '10.3.0.0/16']), ['10.1.0.0/16', '10.3.0.0/16'])
  assert.deepEqual(narrowed(['172.31.0.0/16'], ['10.0.0.0/8']), [])
  assert.deepEqual(narrowed(['10.0.0.0/8'], ['fd00::/8']), [], 'families never meet')
  assert.deepEqual(narrowed([], ['10.0.0.0/8']), [])
  assert.deepEqual(narrowed(['10.0.0.0/8'], []), [])
  assert.deepEqual(narrowed(['10.0.0.5..10.0.0.20'], ['10.0.0.0/28']), ['10.0.0.5..10.0.0.15'], 'a range that is no network')
})

test('narrowing: protocols and ports', () => {
  assert.deepEqual(narrowed(['10.0.0.0/8[tcp]'], ['10.0.0.0/8']), ['10.0.0.0/8[tcp]'])
  assert.deepEqual(narrowed(['10.0.0.0/8'], ['10.0.0.0/8[tcp/443]']), ['10.0.0.0/8[tcp/443]'])
  assert.deepEqual(narrowed(['10.0.0.0/8[tcp/1-500]'], ['10.0.0.0/8[tcp/443-600]']), ['10.0.0.0/8[tcp/443-500]'])
  assert.deepEqual(narrowed(['10.0.0.0/8[udp]'], ['10.0.0.0/8[tcp]']), [])
  assert.deepEqual(narrowed(['10.0.0.0/8[tcp/80]'], ['10.0.0.0/8[tcp/443]']), [])
  assert.deepEqual(narrowed(['10.0.0.0/8[/opaque]'], ['10.0.0.0/8']), ['10.0.0.0/8[/opaque]'], 'any port holds OPAQUE')
  assert.deepEqual(narrowed(['10.0.0.0/8[/opaque]'], ['10.0.0.0/8[/0-1000]']), [])
})

test('narrowing: the packet that woke the initiator keeps its place, or lies in a wider one there', () => {
  assert.deepEqual(narrowed(['10.0.1.5/32[tcp/22]', '10.0.0.0/8'], ['10.0.0.0/16', '10.200.0.0/16']), [
    '10.0.0.0/16',
    '10.200.0.0/16',
  ])
  assert.deepEqual(narrowed(['10.200.0.9/32[udp/53]', '10.0.0.0/8'], ['10.0.0.0/16', '10.200.0.0/16']), [
    '10.200.0.0/16',
    '10.0.0.0/16',
  ])
  assert.deepEqual(narrowed(['10.0.1.5/32[tcp/22]', '172.16.0.0/12'], ['10.0.0.0/16']), ['10.0.1.5/32[tcp/22]'])
  assert.deepEqual(
    narrowed(['10.0.0.0/25', '10.0.0.128/25', '10.0.0.0/24'], ['10.0.0.0/24']),
    ['10.0.0.0/24'],
    'what a wider one holds goes',
  )
})

test('both sides are narrowed together: what has no counterpart is left out', () => {
  const pair = (local: string[], remote: string[]): SelectorPair => ({ local: ts(...local), remote: ts(...remote) })
  const texts = (found: SelectorPair | undefined): unknown => found && [selectorTexts(found.local), selectorTexts(found.remote)]
  const all = ['0.0.0.0/0', '::/0']
  assert.deepEqual(texts(narrowPair(pair(all, all), pair(['10.0.0.0/8', 'fd00::/8'], ['192.168.1.0/24']))), [
    ['10.0.0.0/8'],
    ['192.168.1.0/24'],
  ])
  assert.equal(narrowPair(pair(['10.0.0.0/8'], ['::/0']), pair(all, all)), undefined)
  assert.equal(narrowPair(pair(['10.0.0.0/8[tcp]'], ['10.0.0.0/8[udp]']), pair(all, all)), undefined)
  assert.equal(narrowPair(pair(['10.0.0.0/8'], ['172.16.0.0/12']), pair(all, ['192.168.0.0/16'])), undefined)
})

test('an answer that widens is no answer; a single pair is made of what can meet', () => {
  const pair = (local: string, remote: string): SelectorPair => ({ local: ts(local), remote: ts(remote) })
  assert.ok(isNarrowed(pair('10.0.0.0/16', '192.168.1.0/24'), pair('10.0.0.0/8', '0.0.0.0/0')))
  assert.ok(!isNarrowed(pair('10.0.0.0/7', '192.168.1.0/24'), pair('10.0.0.0/8', '0.0.0.0/0')))
  assert.ok(!isNarrowed({ local: [], remote: ts('10.0.0.1') }, pair('10.0.0.0/8', '0.0.0.0/0')))
  assert.ok(!isWithin([], ts('10.0.0.1')))
  const single = singlePair({ local: ts('fd00::1', '10.0.0.1'), remote: ts('192.168.0.0/16', '192.168.0.1') })
  assert.deepEqual(single && [selectorTexts(single.local), selectorTexts(single.remote)], [['10.0.0.1/32'], ['192.168.0.0/16']])
  assert.equal(singlePair(pair('fd00::1', '10.0.0.1')), undefined)
})

test('sites overlap by address, whatever their protocols', () => {
  assert.ok(overlap(ts('192.168.1.0/24[tcp]'), ts('192.168.0.0/16[udp/53]')))
  assert.ok(!overlap(ts('192.168.1.0/24'), ts('192.168.2.0/24', '::/0')))
})

/** A small world in which everything can be tried: 16 addresses, 2 protocols, 4 ports. */
const base = parseAddress('10.0.0.0')
const addressOf = (last: number): Uint8Array => Uint8Array.of(...base.subarray(0, 3), last)
const small = fc
  .record({
    a: fc.nat(15),
    b: fc.nat(15),
    protocol: fc.constantFrom(0, 6, 17),
    ports: fc.constantFrom('any', 'opaque', 'one', 'some'),
  })
  .map(({ a, b, protocol, ports }): TrafficSelector => {
    const [startPort, endPort] = { any: [0, 65_535], opaque: [65_535, 0], one: [1, 1], some: [1, 2] }[ports] as [number, number]
    return { protocol, startPort, endPort, start: addressOf(Math.min(a, b)), end: addressOf(Math.max(a, b)) }
  })

type Packet = readonly [last: number, protocol: number, port: number]
const packets: Packet[] = []
for (let last = 0; last < 16; last++)
  for (const protocol of [6, 17]) for (const port of [-1, 0, 1, 2]) packets.push([last, protocol, port])

/** The plain twin of `covers`, for one selector. */
function admits({ protocol, startPort, endPort, start, end }: TrafficSelector, [last, packetProtocol, port]: Packet): boolean {
  const any = startPort === 0 && endPort === 65_535
  const opaque = startPort > endPort
  const portFits = any || (port < 0 ? opaque : !opaque && startPort <= port && port <= endPort)
  return start[3]! <= last && last <= end[3]! && (protocol === 0 || protocol === packetProtocol) && portFits
}

const covered = (selectors: readonly TrafficSelector[], [last, protocol, port]: Packet): boolean =>
  covers(selectors, addressOf(last), 0, 4, protocol, port)

test('intersection, containment and narrowing agree with every packet of a small world', () => {
  const list = fc.array(small, { maxLength: 4 })
  fc.assert(
    fc.property(small, small, list, list, (a, b, offered, allowed) => {
      const both = intersect(a, b)
      const result = narrow(offered, allowed)
      for (const packet of packets) {
        assert.equal(both !== undefined && admits(both, packet), admits(a, packet) && admits(b, packet))
        assert.equal(
          covered(offered, packet),
          offered.some((one) => admits(one, packet)),
        )
        assert.equal(covered(result, packet), covered(offered, packet) && covered(allowed, packet), 'exactly what both admit')
      }
      assert.equal(contains(a, b), both !== undefined && sameSelector(both, b))
      if (contains(a, b)) for (const packet of packets) assert.ok(!admits(b, packet) || admits(a, packet))
      for (const [i, one] of result.entries())
        assert.ok(!result.some((other, j) => i !== j && contains(other, one)), 'no member holds another')
      if (result.length > 0) assert.ok(isWithin(result, offered) && isWithin(result, allowed))
      const [first] = offered
      const best = first === undefined ? undefined : allowed.map((one) => intersect(first, one)).find((one) => one !== undefined)
      if (best !== undefined) assert.ok(contains(result[0]!, best), 'the first offer is served first')
    }),
    { numRuns: 500, seed: 296 },
  )
})

test('addresses of both families at any offset of a buffer', () => {
  const selectors = ts('10.0.0.0/8', 'fd00:1::/32')
  const at = (text: string): [Uint8Array, number, number] => [
    Uint8Array.of(9, 9, 9, ...parseAddress(text), 9),
    3,
    parseAddress(text).length,
  ]
  for (const [text, inside] of [
    ['10.0.0.0', true],
    ['10.255.255.255', true],
    ['11.0.0.0', false],
    ['9.255.255.255', false],
    ['fd00:1::', true],
    ['fd00:1:ffff::1', true],
    ['fd00:2::', false],
    ['fd00:0:ffff::', false],
  ] as const) {
    assert.equal(coversAddress(selectors, ...at(text)), inside, text)
    assert.equal(covers(selectors, ...at(text), 6, 443), inside, text)
  }
})

test('hundreds of selectors on both sides', () => {
  const many = Array.from({ length: 255 }, (_, i) => fromAddress(Uint8Array.of(10, 0, i, 1)))
  const found = narrow(many, many)
  assert.equal(found.length, 255)
  const crossed = narrow([...many].reverse(), [...many, fromCidr({ address: Uint8Array.of(10, 0, 0, 0), prefix: 8 })])
  assert.equal(crossed.length, 255, 'a payload counts to 255')
})
