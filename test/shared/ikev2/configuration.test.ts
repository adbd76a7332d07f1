import assert from 'node:assert/strict'
import test from 'node:test'
import { answerConfiguration, configurationRequest, readConfiguration } from '#shared/ikev2/configuration.ts'
import { CpAttribute, CpType } from '#shared/wire/ike-numbers.ts'
import type { CpPayload } from '#shared/wire/ike-payload/payload.ts'
import { formatAddress, formatCidr, parseAddress } from '#shared/wire/ip-address.ts'
import fc from '#test/lab/properties.ts'

const gift = {
  virtualAddresses: ['100.64.0.7', 'fd00::7'].map(parseAddress),
  dns: ['100.64.0.1', 'fd00::1'].map(parseAddress),
}
const given = (request: CpPayload | undefined, from = gift): unknown => {
  const reply = answerConfiguration(request!, from)
  if (reply === undefined || reply === 'refused') return reply
  const { addresses, dns } = readConfiguration(reply)!
  return [addresses.map((one) => formatAddress(one)), dns.map((one) => formatAddress(one))]
}

test('who asks gets the addresses and servers of the families that it asks for', () => {
  assert.deepEqual(given(configurationRequest({ ip4: true, ip6: true, dns: true })), [
    ['100.64.0.7', 'fd00::7'],
    ['100.64.0.1', 'fd00::1'],
  ])
  assert.deepEqual(given(configurationRequest({ ip4: true, ip6: false, dns: true })), [['100.64.0.7'], ['100.64.0.1']])
  assert.deepEqual(given(configurationRequest({ ip4: false, ip6: true, dns: false })), [['fd00::7'], []])
  assert.equal(configurationRequest({ ip4: false, ip6: false, dns: true }), undefined)
})

test('an address that is asked for and not there is refused, unless the other family has one', () => {
  const six = { ...gift, virtualAddresses: gift.virtualAddresses.slice(1) }
  assert.equal(given(configurationRequest({ ip4: true, ip6: false, dns: false }), six), 'refused')
  assert.deepEqual(given(configurationRequest({ ip4: true, ip6: true, dns: false }), six), [['fd00::7'], []])
  assert.equal(given(configurationRequest({ ip4: true, ip6: true, dns: false }), { virtualAddresses: [], dns: [] }), 'refused')
  const question = (type: number): CpPayload => ({
    kind: 'cp',
    type: CpType.Request,
    attributes: [{ type, value: new Uint8Array() }],
  })
  assert.deepEqual(given(question(7)), [[], []], 'a question that we do not know, alone (APPLICATION_VERSION)')
  assert.equal(answerConfiguration({ ...question(1), type: CpType.Set }, gift), undefined)
  assert.equal(readConfiguration(question(1)), undefined)
})

test('what the peer would like to have is not looked at', () => {
  const wish = {
    kind: 'cp',
    type: CpType.Request,
    attributes: [{ type: CpAttribute.InternalIp4Address, value: parseAddress('10.0.0.1') }],
  } as const
  assert.deepEqual(given(wish), [['100.64.0.7'], []])
})

test('an IPv6 address goes with its prefix length, and is read with and without', () => {
  const reply = answerConfiguration(configurationRequest({ ip4: false, ip6: true, dns: false })!, gift) as CpPayload
  assert.deepEqual(Array.from(reply.attributes[0]!.value.slice(-2)), [7, 128])
  const bare = { ...reply, attributes: [{ type: CpAttribute.InternalIp6Address, value: parseAddress('fd00::8') }] }
  assert.deepEqual(
    readConfiguration(bare)!.addresses.map((one) => formatAddress(one)),
    ['fd00::8'],
  )
})

test('networks behind the peer; addresses that are nobody’s, and crooked masks, are passed over', () => {
  const reply = (...attributes: CpPayload['attributes']): CpPayload => ({ kind: 'cp', type: CpType.Reply, attributes })
  const four = (address: string, mask: string) => ({
    type: CpAttribute.InternalIp4Subnet,
    value: Uint8Array.of(...parseAddress(address), ...parseAddress(mask)),
  })
  const read = readConfiguration(
    reply(
      four('192.168.1.0', '255.255.255.0'),
      four('10.0.0.0', '255.0.255.0'),
      four('0.0.0.0', '0.0.0.0'),
      four('10.0.0.1', '255.255.255.255'),
      { type: CpAttribute.InternalIp6Subnet, value: Uint8Array.of(...parseAddress('fd00::'), 64) },
      { type: CpAttribute.InternalIp6Subnet, value: Uint8Array.of(...parseAddress('fd00::'), 129) },
    ),
  )!
  assert.deepEqual(read.subnets.map(formatCidr), ['192.168.1.0/24', '0.0.0.0/0', '10.0.0.1/32', 'fd00::/64'])
  const nobodys = ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255', '::', '::1', 'ff02::1']
  const addresses = nobodys.map(parseAddress).map((value) => ({
    type: value.length === 4 ? CpAttribute.InternalIp4Address : CpAttribute.InternalIp6Address,
    value,
  }))
  assert.deepEqual(readConfiguration(reply(...addresses))!.addresses, [])
})

test('any attributes at all are read without a throw, and bounded', () => {
  const attribute = fc.record({ type: fc.nat(32_767), value: fc.uint8Array({ maxLength: 20 }) }, { noNullPrototype: true })
  const known = fc.record(
    { type: fc.constantFrom(...Object.values(CpAttribute)), value: fc.uint8Array({ maxLength: 20 }) },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(fc.nat(5), fc.array(fc.oneof(attribute, known), { maxLength: 64 }), (type, attributes) => {
      const read = readConfiguration({ kind: 'cp', type, attributes })
      if (read !== undefined) for (const list of [read.addresses, read.dns, read.subnets]) assert.ok(list.length <= 16)
      for (const address of read?.addresses ?? []) assert.ok(address.length === 4 || address.length === 16)
      answerConfiguration({ kind: 'cp', type, attributes }, gift)
    }),
    { numRuns: 500, seed: 315 },
  )
})
