import assert from 'node:assert/strict'
import test from 'node:test'
import { knownEndpoints, resolveHosts } from '#agent/io/endpoint-resolver.ts'
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
  assert.deepEqual(knownEndpoints(texts, cached), [
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
  assert.deepEqual(await resolveHosts(texts, cached, impatient, () => new Promise(() => {})), cached)
})

test('F-08 DNS is asked for names alone, once each, and what it says replaces the memory', async () => {
  const asked: string[] = []
  const ask = async (host: string) => {
    asked.push(host)
    return ['203.0.113.9']
  }
  const found = await resolveHosts([...texts, 'gw.example:443'], cached, handTimers().timers, ask)
  assert.deepEqual(asked, ['gw.example'])
  assert.deepEqual(found, { 'gw.example': ['203.0.113.9'] })
})
