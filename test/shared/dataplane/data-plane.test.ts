import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { forever, refused } from '#shared/dataplane/flow-filter.ts'
import { DropReason } from '#shared/drop-reason.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'
import { type Client, Hub } from '#test/shared/dataplane/hub.ts'
import { ipPacket, ipv4Checksum, tcp, udp } from '#test/shared/dataplane/packets.ts'

const local = '100.64.0.1'
let hub: Hub
let ann: Client
let pi: Client

beforeEach(() => {
  hub = new Hub({ permit: (_packet, from) => (from === ann.association || from === undefined ? forever : refused) })
  ann = hub.join('100.64.0.2')
  pi = hub.join('100.64.0.3')
  hub.plane.setLocal([local])
})

const datagram = (from: Client, to: string, source = from.address): Uint8Array =>
  from.seal(ipPacket({ from: source, to, body: udp(9, 22) }))

test('a packet for another association is relayed with one hop less and a true checksum', () => {
  assert.equal(hub.arrive(datagram(ann, pi.address), ann.at), 0)
  const [packet] = pi.received
  assert.equal(packet?.[8], 63)
  assert.equal((packet![10]! << 8) | packet![11]!, ipv4Checksum(packet!))
  assert.equal(hub.plane.traffic.relayed, 1)
})

test('the last hop is not relayed', () => {
  const bytes = ann.seal(ipPacket({ from: ann.address, to: pi.address, ttl: 1 }))
  assert.equal(hub.arrive(bytes, ann.at), DropReason.HopLimitExceeded)
  assert.equal(pi.received.length, 0)
})

test('the IPv4 checksum stays true for every TTL, in IPv6 the hop limit falls', () => {
  for (let ttl = 2; ttl <= 255; ttl++) {
    hub.arrive(ann.seal(ipPacket({ from: ann.address, to: pi.address, ttl, id: ttl * 257 })), ann.at)
    const packet = pi.received.pop()!
    assert.equal((packet[10]! << 8) | packet[11]!, ipv4Checksum(packet))
  }
  hub.plane.routes.insert('fd00::2', ann.association)
  hub.plane.routes.insert('fd00::3', pi.association)
  hub.arrive(ann.seal(ipPacket({ from: 'fd00::2', to: 'fd00::3' })), ann.at)
  assert.equal(pi.received[0]?.[7], 63)
})

test('P-30 an association sends only from addresses that are routed to it', () => {
  for (const source of [pi.address, local, '203.0.113.9'])
    assert.equal(hub.arrive(datagram(ann, pi.address, source), ann.at), DropReason.InnerSourceRefused)
  // Replies to another's flow, with the flow's own addresses.
  const eve = hub.join('100.64.0.4')
  hub.arrive(ann.seal(ipPacket({ from: ann.address, to: pi.address, protocol: 6, body: tcp(5_000, 22, 2) })), ann.at)
  const forged = eve.seal(ipPacket({ from: pi.address, to: ann.address, protocol: 6, body: tcp(22, 5_000, 0x12) }))
  assert.equal(hub.arrive(forged, eve.at), DropReason.InnerSourceRefused)
  assert.deepEqual([pi.received.length, ann.received.length, hub.delivered.length], [1, 0, 0])
  assert.deepEqual(hub.spoofed, [ann.association, ann.association, ann.association, eve.association])
  assert.equal(hub.plane.counters.of(DropReason.InnerSourceRefused), 4)
})

test('P-25 what has no room on the path to its receiver is told of with the receiver, and to its sender', () => {
  const error = new Uint8Array(PACKET_TOO_BIG_LIMIT)
  const [pis, hubs] = [pi.address, local].map(parseAddress) as [Uint8Array, Uint8Array]
  const quoted = ipPacket({ from: local, to: pi.address, body: udp(9, 22, new Uint8Array(1_000)) })
  hub.plane.send(quoted, hub.now)
  assert.equal(hub.arrive(pi.seal(error.slice(0, writePacketTooBig(error, pis, hubs, 928, quoted))), pi.at), 0)
  const large = ipPacket({ from: ann.address, to: pi.address, body: udp(9, 22, new Uint8Array(1_000)) })
  assert.equal(hub.arrive(ann.seal(large), ann.at), DropReason.InnerTooBig)
  assert.deepEqual([hub.tooBig, pi.received.length, ann.received.length], [[pi.association], 1, 1])
  assert.equal(hub.arrive(datagram(ann, pi.address), ann.at), 0)
  assert.equal(hub.tooBig.length, 1)
})

test('P-02 10,000 replays, also after 8,191 newer and from another address: none forwarded, the endpoint stays', () => {
  const captured = datagram(ann, pi.address)
  hub.arrive(captured.slice(), ann.at)
  for (let i = 0; i < 8_191; i++) hub.arrive(datagram(ann, pi.address), ann.at)
  const forwarded = pi.received.length
  assert.equal(forwarded, 8_192)
  const thief = { address: '203.0.113.66', port: 6_666 }
  for (let i = 0; i < 10_000; i++) {
    const verdict = hub.arrive(captured.slice(), i % 2 === 0 ? ann.at : thief)
    assert.equal(verdict, DropReason.Replayed)
  }
  assert.equal(pi.received.length, forwarded)
  assert.deepEqual(hub.noise.association(hub.noise.opened!.peerKey)?.endpoint, ann.at)
})

test("what is for the hub is delivered without the tunnel's padding; what the filter refuses is not", () => {
  const packet = ipPacket({ from: ann.address, to: local, body: udp(9, 22, new Uint8Array(3)) })
  assert.equal(hub.arrive(ann.seal(packet), ann.at), 0)
  assert.deepEqual(hub.delivered, [packet])
  assert.equal(hub.arrive(datagram(pi, local), pi.at), DropReason.FilterRefused)
  assert.equal(hub.arrive(datagram(pi, ann.address), pi.at), DropReason.FilterRefused)
})

test("the hub's own packets go out, and their answers come in", () => {
  assert.equal(hub.plane.send(ipPacket({ from: local, to: pi.address, body: udp(7, 8) }), hub.now), 0)
  assert.equal(pi.received.length, 1)
  assert.equal(hub.arrive(pi.seal(ipPacket({ from: pi.address, to: local, body: udp(8, 7) })), pi.at), 0)
  assert.equal(hub.plane.send(ipPacket({ from: local, to: '192.0.2.99' }), hub.now), DropReason.NoRoute)
})

test('a packet without route goes nowhere, least of all back', () => {
  assert.equal(hub.arrive(datagram(ann, '100.64.0.99'), ann.at), DropReason.NoRoute)
  assert.equal(hub.arrive(datagram(ann, ann.address), ann.at), DropReason.NoRoute)
})

test('what is detached is cut both ways, at once', () => {
  hub.arrive(datagram(ann, pi.address), ann.at)
  hub.plane.detach(pi.association, hub.now)
  assert.equal(hub.plane.filter.size, 0)
  assert.equal(hub.arrive(datagram(ann, pi.address), ann.at), DropReason.NoRoute)
  assert.equal(hub.arrive(datagram(pi, local), pi.at), DropReason.InnerSourceRefused)
})

test('P-12 strangers, keepalives, ESP and noise are met with silence and counted', () => {
  const stranger = { address: '203.0.113.5', port: 1 }
  hub.sent.length = 0
  assert.equal(hub.arrive(Uint8Array.of(0xff), stranger), 0)
  for (const first of [0x00, 0x05, 0x21, 0x80, 0xfe]) {
    const bytes = new Uint8Array(64).fill(0x55)
    bytes[0] = first
    assert.ok(hub.arrive(bytes, stranger) < 0)
  }
  assert.ok(hub.arrive(Uint8Array.of(4, 0, 0, 0, ...new Uint8Array(60)), stranger) < 0)
  assert.ok(hub.arrive(Uint8Array.of(1, 0, 0, 0, ...new Uint8Array(144)), stranger) < 0)
  assert.equal(hub.sent.length, 0)
  assert.ok(hub.plane.counters.of(DropReason.UnknownKind) >= 5)
  assert.equal(hub.noise.counters.of(DropReason.BadMac1), 1)
})
