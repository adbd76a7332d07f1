import assert from 'node:assert/strict'
import test from 'node:test'
import { addressesOf, knownEndpoints, proveAddress, resolveHosts } from '#agent/io/endpoint-resolver.ts'
import type { Timers } from '#shared/platform/timers.ts'

const cached = { 'gw.example': ['192.0.2.1', '2001:db8::1'] }
const texts = ['gw.example:4500', '198.51.100.7:4500', '[2001:db8::7]:4501']

/** Patience ends when it is told to. */
function handTimers() {
  const timers: Timers = { setTimer: () => ({ clear: () => {} }) }
  const impatient: Timers = {
    setTimer: (_delay, callback) => {
      callback()
      return { clear: () => {} }
    },
  }
  return { timers, impatient }
}

test('F-08 literals need no DNS, and names have their last good addresses at once', () => {
  assert.deepEqual(knownEndpoints(texts, { addresses: cached }), [
    { address: '192.0.2.1', port: 4500 },
    { address: '2001:db8::1', port: 4500 },
    { address: '198.51.100.7', port: 4500 },
    { address: '2001:db8::7', port: 4501 },
  ])
  assert.deepEqual(knownEndpoints(['gw.example:4500', 'nonsense'], {}), [])
})

test('F-08 a dead, slow or denying DNS leaves what was known', async () => {
  const { timers, impatient } = handTimers()
  assert.deepEqual(await resolveHosts(texts, cached, timers, () => Promise.reject(new Error('NXDOMAIN'))), cached)
  assert.deepEqual(await resolveHosts(texts, cached, timers, () => Promise.resolve([])), cached)
  assert.deepEqual(await resolveHosts(texts, cached, timers, () => Promise.resolve(['no address'])), cached)
  assert.deepEqual(await resolveHosts(texts, cached, impatient, () => new Promise(() => {})), cached)
})

test('F-08 DNS is asked for names alone, once each, and what it says replaces what it said before', async () => {
  const asked: string[] = []
  const ask = async (host: string) => {
    asked.push(host)
    return ['203.0.113.9']
  }
  const found = await resolveHosts([...texts, 'gw.example:443'], cached, handTimers().timers, ask)
  assert.deepEqual(asked, ['gw.example'])
  assert.deepEqual(found, { 'gw.example': ['203.0.113.9'] })
})

test('F-08 a poisoned answer comes after the addresses that were proven, and replaces none of them', async () => {
  const proven = proveAddress(texts, '192.0.2.1', { addresses: cached })
  assert.deepEqual(proven, { 'gw.example': ['192.0.2.1'] }, 'a literal needs no memory')
  const poisoned = await resolveHosts(texts, cached, handTimers().timers, async () => ['203.0.113.66'])
  assert.deepEqual(addressesOf('gw.example', { addresses: poisoned, proven }), ['192.0.2.1', '203.0.113.66'])
  const many = await resolveHosts(texts, cached, handTimers().timers, async () =>
    Array.from({ length: 1_000 }, (_, i) => `203.0.113.${i % 256}`),
  )
  const tried = addressesOf('gw.example', { addresses: many, proven })
  assert.equal(tried.length, 8)
  assert.equal(tried[0], '192.0.2.1')
})

test('F-08 a broker that has moved is found by DNS, and its new address is the first from then on', async () => {
  const moved = await resolveHosts(texts, cached, handTimers().timers, async () => ['203.0.113.9'])
  const before = { addresses: moved, proven: { 'gw.example': ['192.0.2.1'] } }
  const proven = proveAddress(texts, '203.0.113.9', before)
  assert.deepEqual(proven, { 'gw.example': ['203.0.113.9', '192.0.2.1'] })
  assert.deepEqual(addressesOf('gw.example', { addresses: moved, proven }), ['203.0.113.9', '192.0.2.1'])
  assert.deepEqual(proveAddress(texts, '198.51.100.99', before), before.proven, 'an address that no host has proves nothing')
})
