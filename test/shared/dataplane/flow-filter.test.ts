import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Flow } from '#shared/dataplane/flow.ts'
import { FlowFilter, type FlowPolicy, forever, refused } from '#shared/dataplane/flow-filter.ts'
import { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { echo, ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'

const [ann, pi, eve] = [{ id: 1 }, { id: 2 }, { id: 3 }] as unknown as [Association, Association, Association]
const A = { v4: '10.0.0.1', v6: 'fd00::a' }
const P = { v4: '10.0.0.2', v6: 'fd00::b' }
const t = instant
const syn = 0x02
const synAck = 0x12
const ack = 0x10
const fin = 0x11

/** Permits everything that ann begins, and counts what is asked and told. */
function setUp(
  permit: FlowPolicy['permit'] = (_packet, from) => (from === ann ? forever : refused),
  limits?: { flows: number; perInitiator: number },
) {
  const told: string[] = []
  const policy = {
    permit,
    opened: (flow: Flow) =>
      told.push(`open ${flow.initiatorAddress}:${flow.initiatorPort}>${flow.responderAddress}:${flow.responderPort}`),
    closed: (flow: Flow, why: string) => told.push(`${why} ${flow.bytesForward}/${flow.bytesBack}`),
    refused: () => told.push('refused'),
  }
  const filter = new FlowFilter(policy, 12_345, limits)
  const packet = new InnerPacket()
  const judge = (bytes: Uint8Array, from: Association | undefined, to: Association | undefined, now = 0): number => {
    assert.equal(packet.read(bytes, bytes.length), 0)
    return filter.judge(packet, from, to, t(now))
  }
  return { filter, judge, told }
}

const tcpPacket = (from: string, to: string, sport: number, dport: number, flags: number): Uint8Array =>
  ipPacket({ from, to, protocol: 6, body: tcp(sport, dport, flags) })

test('replies of a permitted flow pass, nothing else that the other end begins, in both families', () => {
  for (const family of ['v4', 'v6'] as const) {
    const { judge, told } = setUp()
    const [a, p] = [A[family], P[family]]
    assert.equal(judge(tcpPacket(p, a, 22, 5000, synAck), pi, ann), DropReason.FilterRefused)
    assert.equal(judge(tcpPacket(a, p, 5000, 22, syn), ann, pi), 0)
    assert.equal(judge(tcpPacket(p, a, 22, 5000, synAck), pi, ann), 0)
    assert.equal(judge(tcpPacket(p, a, 22, 5001, synAck), pi, ann), DropReason.FilterRefused)
    assert.equal(judge(tcpPacket(p, a, 23, 5000, synAck), pi, ann), DropReason.FilterRefused)
    assert.equal(judge(ipPacket({ from: p, to: a, body: udp(22, 5000) }), pi, ann), DropReason.FilterRefused)
    assert.deepEqual(told.slice(0, 2), ['refused', `open ${a}:5000>${p}:22`])
  }
})

test('P-30 an answer from an association that the flow does not belong to is refused', () => {
  const { judge } = setUp()
  judge(tcpPacket(A.v4, P.v4, 5000, 22, syn), ann, pi)
  assert.equal(judge(tcpPacket(P.v4, A.v4, 22, 5000, synAck), eve, ann), DropReason.FilterRefused)
  assert.equal(judge(tcpPacket(A.v4, P.v4, 5000, 22, ack), eve, pi), DropReason.FilterRefused)
})

test('an echo request is not an answer to an echo request with the same identifier', () => {
  const { judge } = setUp()
  const ping = (from: string, to: string, type: number): Uint8Array => ipPacket({ from, to, protocol: 1, body: echo(type, 9) })
  assert.equal(judge(ping(A.v4, P.v4, 8), ann, pi), 0)
  assert.equal(judge(ping(P.v4, A.v4, 0), pi, ann), 0)
  assert.equal(judge(ping(P.v4, A.v4, 8), pi, ann), DropReason.FilterRefused)
  assert.equal(judge(ping(A.v4, P.v4, 0), ann, pi), DropReason.FilterRefused)
})

test('idle flows end after their time: UDP 180 s, echo 30 s, TCP half-open 60 s, closed 20 s', () => {
  const { filter, judge, told } = setUp()
  judge(ipPacket({ from: A.v4, to: P.v4, body: udp(1, 2) }), ann, pi)
  judge(ipPacket({ from: A.v4, to: P.v4, protocol: 1, body: echo(8, 1) }), ann, pi)
  judge(tcpPacket(A.v4, P.v4, 1, 22, syn), ann, pi)
  judge(tcpPacket(A.v4, P.v4, 2, 22, syn), ann, pi)
  judge(tcpPacket(P.v4, A.v4, 22, 2, synAck), pi, ann)
  judge(tcpPacket(A.v4, P.v4, 2, 22, fin), ann, pi)
  judge(tcpPacket(P.v4, A.v4, 22, 2, fin), pi, ann)
  const left = (ms: number): number => {
    filter.expire(t(ms))
    return filter.size
  }
  assert.deepEqual([19_000, 20_000, 30_000, 60_000, 179_000, 180_000].map(left), [4, 3, 2, 1, 1, 0])
  assert.deepEqual(told.slice(4), ['finished 80/80', 'idle 36/0', 'idle 40/0', 'idle 36/0'])
  assert.equal(filter.deadline(), undefined)
})

test('an established TCP flow outlives an idle night', () => {
  const { filter, judge } = setUp()
  judge(tcpPacket(A.v4, P.v4, 1, 22, syn), ann, pi)
  judge(tcpPacket(P.v4, A.v4, 22, 1, synAck), pi, ann)
  filter.expire(t(12 * 3_600_000))
  assert.equal(judge(tcpPacket(P.v4, A.v4, 22, 1, ack), pi, ann, 12 * 3_600_000), 0)
})

test('a permission that ends takes its flow with it', () => {
  const { filter, judge, told } = setUp((_packet, from, _to, now) => (from === ann && now < 1_000 ? t(1_000) : refused))
  assert.equal(judge(tcpPacket(A.v4, P.v4, 1, 22, syn), ann, pi, 0), 0)
  assert.equal(judge(tcpPacket(A.v4, P.v4, 1, 22, ack), ann, pi, 999), 0)
  assert.equal(judge(tcpPacket(A.v4, P.v4, 1, 22, ack), ann, pi, 1_000), DropReason.FilterRefused)
  assert.equal(filter.size, 0)
  assert.deepEqual(told.slice(1), ['expired 80/0', 'refused'])
})

test('revocation cuts at once', () => {
  const { filter, judge } = setUp()
  judge(tcpPacket(A.v4, P.v4, 1, 22, syn), ann, pi)
  assert.equal(filter.revoke((flow) => flow.responder === pi).length, 1)
  assert.equal(judge(tcpPacket(P.v4, A.v4, 22, 1, synAck), pi, ann), DropReason.FilterRefused)
})

test('the table is bounded, in all and for each initiator', () => {
  const { judge } = setUp(() => forever, { flows: 150, perInitiator: 100 })
  const begin = (port: number, from: Association): number => judge(tcpPacket(A.v4, P.v4, port, 22, syn), from, pi)
  for (let port = 1; port <= 100; port++) assert.equal(begin(port, ann), 0)
  assert.equal(begin(101, ann), DropReason.QueueFull)
  for (let port = 201; port <= 250; port++) assert.equal(begin(port, eve), 0)
  assert.equal(begin(251, eve), DropReason.QueueFull)
})

test('later fragments pass only after their first, from the same association, for 30 s', () => {
  const { judge } = setUp()
  const body = udp(1, 2, new Uint8Array(24))
  const first = ipPacket({ from: A.v4, to: P.v4, body, fragmentField: 0x2000, id: 5 })
  const later = ipPacket({ from: A.v4, to: P.v4, body: body.subarray(0, 24), fragmentField: 4, id: 5 })
  assert.equal(judge(later, ann, pi), DropReason.FilterRefused)
  assert.equal(judge(first, ann, pi), 0)
  assert.equal(judge(later, eve, pi), DropReason.FilterRefused)
  assert.equal(judge(later, ann, pi), 0)
  assert.equal(judge(later, ann, pi, 30_000), DropReason.FilterRefused)
})

test('A-28 an ICMP error passes only to the end whose permitted packet it quotes', () => {
  const { judge } = setUp()
  const sent = tcpPacket(A.v6, P.v6, 1, 22, syn)
  const error = (quoted: Uint8Array): Uint8Array =>
    ipPacket({ from: P.v6, to: A.v6, protocol: 58, body: Uint8Array.of(1, 4, 0, 0, 0, 0, 0, 0, ...quoted) })
  assert.equal(judge(error(sent), pi, ann), DropReason.FilterRefused)
  judge(sent, ann, pi)
  assert.equal(judge(error(sent), pi, ann), 0)
  assert.equal(judge(error(sent), eve, ann), DropReason.FilterRefused)
  assert.equal(judge(error(tcpPacket(A.v6, P.v6, 2, 22, syn)), pi, ann), DropReason.FilterRefused)
})
