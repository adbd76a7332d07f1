import assert from 'node:assert/strict'
import test from 'node:test'
import { agentEndpoints } from '#broker/api/agent-endpoints.ts'
import { splitEndpoint } from '#broker/endpoint-text.ts'

test('agents are told where to send their datagrams', () => {
  const reached = (host: string, localAddress?: string) => ({ host, localAddress })
  const rows: [configured: string[], listen: string, host: string, local: string | undefined, told: string[]][] = [
    [['gw.example:4500'], '0.0.0.0:4500', 'api.example:8443', '10.0.0.2', ['gw.example:4500']],
    [[], '192.0.2.7:4500', 'api.example:8443', '192.0.2.7', ['192.0.2.7:4500']],
    [[], '0.0.0.0:4500', 'api.example:8443', '::ffff:10.0.0.2', ['api.example:4500', '10.0.0.2:4500']],
    [[], '[::]:4501', '[2001:db8::1]:8443', '2001:db8::1', ['[2001:db8::1]:4501']],
    [[], '0.0.0.0:4500', '127.0.0.1:8443', '127.0.0.1', ['127.0.0.1:4500']],
    [[], '0.0.0.0:4500', '', undefined, []],
  ]
  for (const [configured, listen, host, local, told] of rows)
    assert.deepEqual(agentEndpoints(configured, listen, reached(host, local)), told, `${listen} ${host}`)
})

test('hosts and ports part at the last colon outside brackets', () => {
  assert.deepEqual(splitEndpoint('a:1'), ['a', '1'])
  assert.deepEqual(splitEndpoint('[::1]:22'), ['::1', '22'])
  assert.deepEqual(splitEndpoint('a'), ['a', ''])
  assert.deepEqual(splitEndpoint('::1'), ['::1', ''])
})
