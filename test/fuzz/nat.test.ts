import assert from 'node:assert/strict'
import test from 'node:test'
import { equalPublic } from '#shared/bytes/equal.ts'
import { NatPmpDialect, PcpDialect } from '#shared/nat/port-mapping-dialect.ts'
import type { Dice } from '#shared/time/backoff.ts'
import { decodeNatPmpRequest, decodeNatPmpResponse, encodeNatPmpRequest, encodeNatPmpResponse } from '#shared/wire/nat-pmp.ts'
import { decodePcpRequest, decodePcpResponse, encodePcpRequest, encodePcpResponse } from '#shared/wire/pcp.ts'
import { encodeStun, lengthOfStun, type StunAttribute, StunAttributeType, type StunMessage } from '#shared/wire/stun.ts'
import { replyToBinding, type StunSeat } from '#shared/wire/stun-answer.ts'
import { encodeBindingRequest, readBindingResponse } from '#shared/wire/stun-binding.ts'
import { fuzz } from './fuzz.ts'
import { randomBytes, roll } from './mutate.ts'

const id = Uint8Array.from({ length: 12 }, (_, i) => i)
const nonce = id.map((byte) => byte + 1)
const map = { nonce, internalPort: 40_001, external: { address: '203.0.113.2', port: 40_000 } }

/** Attributes of RFC 8489 and RFC 5780 with lengths at their edges. */
function anyStun(dice: Dice): Uint8Array {
  const types = Object.values(StunAttributeType)
  const attribute = (): StunAttribute => {
    const lengths = [0, 1, 2, 3, 4, 5, 8, 20, 300]
    return { type: types[roll(dice, types.length)]!, value: randomBytes(dice, lengths[roll(dice, lengths.length)]!) }
  }
  const classes = ['request', 'request', 'request', 'indication', 'success', 'error'] as const
  const message: StunMessage = {
    class: classes[roll(dice, classes.length)]!,
    method: roll(dice, 8) === 0 ? 3 : 1,
    transactionId: id,
    attributes: Array.from({ length: roll(dice, 7) }, attribute),
  }
  const out = new Uint8Array(lengthOfStun(message))
  encodeStun(message, out)
  return out
}

test('P-12 P-13 STUN server: no request of any kind gets more than it brought, but for the bare one, nor goes to another address', () => {
  const from = { address: '192.0.2.1', port: 7 }
  const seats: (StunSeat | undefined)[] = [
    undefined,
    { other: { address: '2001:db8::3', port: 1 }, origin: () => ({ address: '2001:db8::2', port: 2 }) },
    { other: undefined, origin: ({ address }) => (address ? undefined : { address: '198.51.100.2', port: 2 }) },
  ]
  const wishes = [
    {},
    { responsePort: 9 },
    { change: { address: true, port: true }, length: 92 },
    { length: 20 },
    { length: 1_500 },
  ]
  let answered = 0
  fuzz({
    name: 'STUN server',
    seeds: wishes.map((wish) => encodeBindingRequest(id, wish)),
    grammar: anyStun,
    run: (input) => {
      for (const seat of seats) {
        const reply = replyToBinding(input, from, seat)
        if (reply === undefined) continue
        answered++
        assert.equal(reply.to.address, from.address)
        assert.ok(reply.datagram.length <= (input.length === 20 ? 56 : input.length))
      }
    },
  })
  assert.ok(answered > 0)
})

test('P-13 STUN client: any bytes are an answer of ours, or none', () => {
  const seat = { other: { address: '198.51.100.3', port: 1 }, origin: () => ({ address: '198.51.100.2', port: 2 }) }
  const good = replyToBinding(encodeBindingRequest(id, { length: 92 }), { address: '192.0.2.1', port: 7 }, seat)!
  fuzz({
    name: 'STUN client',
    seeds: [good.datagram],
    grammar: anyStun,
    run: (input) => {
      const response = readBindingResponse(input, id)
      if (response && 'refused' in response) assert.ok(response.refused >= 0 && response.refused < 1_000)
    },
  })
})

test('P-13 PCP: what is taken is said again as it was, in both directions', () => {
  const taken = fuzz({
    name: 'PCP response',
    seeds: [
      encodePcpResponse({ opcode: 'map', result: 0, lifetime: 7_200, epoch: 5, map }),
      encodePcpResponse({ opcode: 'announce', result: 0, lifetime: 0, epoch: 5 }),
    ],
    run: (input) => {
      const response = decodePcpResponse(input)
      assert.deepEqual(decodePcpResponse(encodePcpResponse(response)), response)
    },
  })
  assert.ok(taken > 0)
  const asked = fuzz({
    name: 'PCP request',
    seeds: [
      encodePcpRequest({ lifetime: 7_200, client: '192.168.7.2', map }),
      encodePcpRequest({ lifetime: 0, client: '2001:db8::2' }),
    ],
    run: (input) => {
      const request = decodePcpRequest(input)
      assert.deepEqual(decodePcpRequest(encodePcpRequest(request)), request)
    },
  })
  assert.ok(asked > 0)
})

test('P-13 NAT-PMP: likewise', () => {
  const taken = fuzz({
    name: 'NAT-PMP response',
    seeds: [
      encodeNatPmpResponse({ kind: 'address', address: '203.0.113.2', epoch: 5 }),
      encodeNatPmpResponse({ kind: 'map', internalPort: 1, externalPort: 2, lifetime: 3, epoch: 4 }),
      encodeNatPmpResponse({ kind: 'refused', asked: 'map', result: 2, epoch: 4 }),
    ],
    run: (input) => {
      const response = decodeNatPmpResponse(input)
      assert.deepEqual(decodeNatPmpResponse(encodeNatPmpResponse(response)), response)
    },
  })
  assert.ok(taken > 0)
  const asked = fuzz({
    name: 'NAT-PMP request',
    seeds: [
      encodeNatPmpRequest({ kind: 'address' }),
      encodeNatPmpRequest({ kind: 'map', internalPort: 1, externalPort: 2, lifetime: 3 }),
    ],
    run: (input) =>
      void assert.ok(equalPublic(encodeNatPmpRequest(decodeNatPmpRequest(input)).subarray(0, 2), input.subarray(0, 2))),
  })
  assert.ok(asked > 0)
})

test('P-13 what gateways say: any bytes have a meaning, or none, and never another port than ours', () => {
  const options = { internalPort: 40_001, client: '192.168.7.2', nonce }
  const dialects = [new PcpDialect(options), new NatPmpDialect(options)]
  fuzz({
    name: 'port mapping',
    seeds: [
      encodePcpResponse({ opcode: 'map', result: 0, lifetime: 7_200, epoch: 5, map }),
      encodePcpResponse({ opcode: 'map', result: 1, lifetime: 30, epoch: 5 }),
      encodeNatPmpResponse({ kind: 'map', internalPort: 40_001, externalPort: 2, lifetime: 3, epoch: 4 }),
      encodeNatPmpResponse({ kind: 'refused', asked: 'other', result: 1, epoch: 4 }),
    ],
    run: (input) => {
      for (const dialect of dialects) {
        const reading = dialect.read(input)
        if (reading?.kind === 'mapped') assert.ok(reading.lifetime > 0 && reading.external.port <= 65_535)
        if (reading?.kind === 'refused') assert.ok(reading.wait >= 30_000)
      }
    },
  })
})
