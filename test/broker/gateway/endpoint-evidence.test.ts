import assert from 'node:assert/strict'
import test from 'node:test'
import { EndpointEvidence } from '#broker/gateway/endpoint-evidence.ts'
import { instant } from '#shared/time/instant.ts'
import { carriedBy } from '#shared/wire/endpoint.ts'

const one = { address: '192.0.2.1', port: 5000 }
const six = { address: '2001:db8::1', port: 5000 }

test('octets at the interface by principal: 28 more than a datagram over IPv4, 48 over IPv6, an estimate over a stream', () => {
  const evidence = new EndpointEvidence()
  evidence.place(1, one)
  evidence.place(2, six)
  evidence.place(3, carriedBy('websocket', 4))
  evidence.heard(1, one, instant(5))
  evidence.sent(32, one)
  evidence.heard(1, six, instant(6))
  evidence.heard(100, carriedBy('websocket', 4), instant(7))
  evidence.heard(1000, { address: '192.0.2.1', port: 1 }, instant(8))
  assert.deepEqual(
    [...evidence.take()],
    [
      { principalId: 1, received: 29, sent: 60, estimated: 0 },
      { principalId: 2, received: 49, sent: 0, estimated: 0 },
      { principalId: 3, received: 206, sent: 0, estimated: 206 },
    ],
  )
  assert.deepEqual([...evidence.take()], [])
  assert.equal(evidence.of(1)?.lastHeard, 5)
})

test('who moves keeps what was counted; the later of two at one place has it, and leaves the other nothing', () => {
  const evidence = new EndpointEvidence()
  evidence.place(1, one)
  evidence.heard(1, one, instant(1))
  evidence.place(1, six)
  evidence.heard(1, one, instant(2))
  evidence.heard(1, six, instant(3))
  assert.deepEqual([...evidence.take()], [{ principalId: 1, received: 29 + 49, sent: 0, estimated: 0 }])
  evidence.place(2, six)
  evidence.heard(1, six, instant(4))
  assert.equal(evidence.of(1)?.lastHeard, 3)
  assert.equal(evidence.of(2)?.lastHeard, 4)
  evidence.place(1, one)
  evidence.heard(1, six, instant(5))
  assert.equal(evidence.of(2)?.lastHeard, 5, 'leaving took nothing from the other')
  evidence.forget(2)
  evidence.heard(1, six, instant(6))
  assert.equal(evidence.of(2), undefined)
})
