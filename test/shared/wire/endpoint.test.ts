import assert from 'node:assert/strict'
import test from 'node:test'
import { carriedBy, endpointText, isCarried, sameEndpoint } from '#shared/wire/endpoint.ts'

test('two endpoints are the same by address and port, and nowhere is no place', () => {
  const here = { address: '192.0.2.1', port: 4500 }
  assert.equal(sameEndpoint(here, { ...here }), true)
  assert.equal(sameEndpoint(here, { ...here, port: 4501 }), false)
  assert.equal(sameEndpoint(here, { ...here, address: '192.0.2.2' }), false)
  assert.equal(sameEndpoint(here, undefined), false)
  assert.equal(sameEndpoint(undefined, undefined), false)
})

test('a way that is no UDP has an endpoint of its own, told by its port 0', () => {
  const way = carriedBy('websocket', 3)
  assert.equal(isCarried(way), true)
  assert.equal(isCarried({ address: '192.0.2.1', port: 4500 }), false)
  assert.equal(endpointText(way), 'websocket/3')
  assert.equal(sameEndpoint(way, carriedBy('websocket', 4)), false)
})
