import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answers, summary } from './round-trips.ts'

const said = `PING 10.98.0.2 (10.98.0.2) 56(84) bytes of data.
64 bytes from 10.98.0.2: icmp_seq=1 ttl=64 time=0.466 ms
64 bytes from 10.98.0.2: icmp_seq=2 ttl=64 time=12 ms
64 bytes from 10.98.0.2: icmp_seq=2 ttl=64 time=13 ms (DUP!)
64 bytes from fd77::1: icmp_seq=4 ttl=64 time=0.5 ms

--- 10.98.0.2 ping statistics ---
4 packets transmitted, 3 received, +1 duplicates, 25% packet loss, time 31ms
rtt min/avg/max/mdev = 0.466/4.3/12.0/5.4 ms
`

test('reads each answer of ping once', () => {
  assert.deepEqual(answers(said), [0.466, 12, 0.5])
})

test('quantiles are of the answers, what is lost is told apart', () => {
  assert.deepEqual(summary([0.466, 12, 0.5], 4), { p50: 0.5, p99: 12, lost: 0.25 })
  assert.deepEqual(summary([], 2), { p50: Number.NaN, p99: Number.NaN, lost: 1 })
})
