import assert from 'node:assert/strict'
import { test } from 'node:test'
import { searchOrder } from '#agent/core/search-order.ts'
import { carriedBy, type Endpoint } from '#shared/wire/endpoint.ts'

const four = (last: number): Endpoint => ({ address: `198.51.100.${last}`, port: 4_500 })
const six = (last: number): Endpoint => ({ address: `2001:db8::${last}`, port: 4_500 })
const stream = carriedBy('websocket', 1)

test('the first UDP address, then what replaces UDP, then the others with the families by turns', () => {
  const endpoints = [four(1), four(2), four(3), six(1), stream]
  assert.deepEqual(searchOrder(endpoints, []), [four(1), stream, six(1), four(2), four(3)])
  assert.deepEqual(searchOrder([six(1), six(2), four(1), stream], []), [six(1), stream, four(1), six(2)])
})

test('what carried no data comes last, in the order in which it failed', () => {
  assert.deepEqual(searchOrder([four(1), six(1), stream], [six(1), four(1)]), [stream, six(1), four(1)])
  assert.deepEqual(searchOrder([four(1), four(2)], [four(1)]), [four(2), four(1)])
})

test('each address has one turn, and none none', () => {
  const endpoints = [six(2), four(3), six(1), stream, four(1), six(3), four(2)]
  const order = searchOrder(endpoints, [six(1)])
  assert.equal(order.length, endpoints.length)
  assert.deepEqual(new Set(order), new Set(endpoints))
  assert.deepEqual(searchOrder([], []), [])
})
