import assert from 'node:assert/strict'
import test from 'node:test'
import { agentStreams } from '#broker/api/agent-streams.ts'

test('an agent is told of the host by which it came, at the port for WebSockets and at the API’s; what is configured wins', () => {
  const cases: [host: string, port: number | undefined, urls: string[]][] = [
    ['broker.example:8443', undefined, ['wss://broker.example:8443/v1/tunnel']],
    ['broker.example:8443', 443, ['wss://broker.example/v1/tunnel', 'wss://broker.example:8443/v1/tunnel']],
    ['[2001:db8::1]:8443', 4443, ['wss://[2001:db8::1]:4443/v1/tunnel', 'wss://[2001:db8::1]:8443/v1/tunnel']],
    ['broker.example', 443, ['wss://broker.example/v1/tunnel']],
    ['no host', 443, []],
  ]
  for (const [host, port, urls] of cases) assert.deepEqual(agentStreams({ configured: [], port }, host), urls, host)
  assert.deepEqual(agentStreams(undefined, 'b:1'), ['wss://b:1/v1/tunnel'])
  assert.deepEqual(agentStreams({ configured: ['wss://x/y'], port: 443 }, 'b:1'), ['wss://x/y'])
})
