import assert from 'node:assert/strict'
import test from 'node:test'
import { isLocalAddress, sourceAddress, sourceAddressTo } from '#shared/platform/local-address.ts'

test('the source of datagrams to a destination, and undefined where none can be sent', async () => {
  assert.equal(await sourceAddressTo('127.0.0.1'), '127.0.0.1')
  // A socket without the option is refused it, as one is that has no route.
  assert.equal(await sourceAddressTo('255.255.255.255'), undefined)
})

test('a machine always has an address of its own for a family that it speaks, and never the wildcard', async () => {
  const own = await sourceAddress(4)
  assert.ok(own !== undefined && own !== '0.0.0.0' && isLocalAddress(own), own)
  assert.equal(isLocalAddress('127.9.9.9'), true)
  assert.equal(isLocalAddress('192.0.2.254'), false)
})
