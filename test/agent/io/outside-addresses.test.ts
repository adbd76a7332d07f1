import assert from 'node:assert/strict'
import test from 'node:test'
import type { AgentConfig } from '#agent/core/agent-config.ts'
import { noProxy, proxyFinder } from '#agent/io/outer-proxy.ts'
import { outsideAddresses } from '#agent/io/outside-addresses.ts'
import type { AgentRecord } from '#agent/io/state-folder.ts'

const broker = {
  endpoints: ['broker.example:4500', '192.0.2.1:4500'],
  streams: ['wss://[2001:db8::7]/v1/tunnel', 'wss://broker.example/'],
}
const record: AgentRecord = {
  api: ['https://198.51.100.4:8443', 'https://broker.example:8443'],
  name: 'pi',
  role: 'device',
  config: { broker } as unknown as AgentConfig,
  lastEndpoint: { address: '192.0.2.9', port: 4500 },
  addresses: { 'broker.example': ['203.0.113.5', '2001:db8::5'] },
}

test('the broker, its API and its streams by every literal that is known, each once', () => {
  assert.deepEqual(outsideAddresses(record, noProxy).sort(), [
    '192.0.2.1',
    '192.0.2.9',
    '198.51.100.4',
    '2001:db8::5',
    '2001:db8::7',
    '203.0.113.5',
  ])
})

test('the proxy too; names that nobody has resolved are none', () => {
  const { config: _, addresses: __, lastEndpoint: ___, ...young } = record
  assert.deepEqual(outsideAddresses(young, proxyFinder('http://10.0.0.8:3128')), ['198.51.100.4', '10.0.0.8'])
  assert.deepEqual(outsideAddresses(young, proxyFinder('http://proxy.example:3128')), ['198.51.100.4'])
})
