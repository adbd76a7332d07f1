import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import { LaneFlow, LaneFlows } from '#shared/platform/linux-engine/lane-flows.ts'
import type { FlowPass } from '#shared/platform/linux-engine/lane-messages.ts'
import { LanePeers } from '#shared/platform/linux-engine/lane-peers.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { echo, ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

const words = (text: string): number[] => {
  const address = parseAddress(text)
  const view = new DataView(address.buffer, address.byteOffset, address.length)
  return Array.from({ length: address.length / 4 }, (_, i) => view.getInt32(4 * i, true))
}

function plain(bytes: Uint8Array): PlainPacket {
  const buffer = new ArrayBuffer(2_048)
  const memory = {
    bytes: new Uint8Array(buffer),
    halves: new Uint16Array(buffer),
    words: new Uint32Array(buffer),
    view: new DataView(buffer),
  }
  memory.bytes.set(bytes)
  const packet = new PlainPacket()
  assert.ok(packet.read(memory, 0, bytes.length))
  return packet
}

const pass = (from: string, to: string, more: Partial<FlowPass> = {}): FlowPass => ({
  ...{ version: from.includes(':') ? 6 : 4, protocol: 17, source: words(from), destination: words(to) },
  ...{ ports: (7 << 16) | 8, isReply: false, from: 1, to: 2, until: Number.POSITIVE_INFINITY, slot: 0, direction: 0 },
  ...more,
})

test('a flow is found by every one of its marks, and by nothing less', () => {
  const peers = new LanePeers()
  const [one, two, three] = [peers.used(1), peers.used(2), peers.used(3)]
  for (const [from, to, others] of [
    ['10.0.0.1', '10.0.0.2', ['10.0.0.3', '10.1.0.1', '11.0.0.1']],
    ['fd00::1', 'fd00::2', ['fd00::3', 'fd01::1', 'fd00:0:0:1::1', 'fd00::1:0:0:1']],
  ] as const) {
    const flows = new LaneFlows()
    const flow = new LaneFlow(pass(from, to), one, two)
    flows.add(flow)
    assert.equal(flows.find(plain(ipPacket({ from, to, body: udp(7, 8) })), one), flow)
    assert.equal(flows.find(plain(ipPacket({ from, to, body: udp(7, 8) })), three), undefined, 'P-30: from another end')
    assert.equal(flows.find(plain(ipPacket({ from, to, body: udp(7, 8) })), undefined), undefined, 'from this host')
    assert.equal(flows.find(plain(ipPacket({ from: to, to: from, body: udp(8, 7) })), one), undefined, 'the way back')
    assert.equal(flows.find(plain(ipPacket({ from, to, body: udp(7, 9) })), one), undefined)
    assert.equal(flows.find(plain(ipPacket({ from, to, body: udp(8, 7) })), one), undefined)
    assert.equal(flows.find(plain(ipPacket({ from, to, protocol: 6, body: tcp(7, 8, 0x10) })), one), undefined)
    for (const other of others) {
      assert.equal(flows.find(plain(ipPacket({ from: other, to, body: udp(7, 8) })), one), undefined, other)
      assert.equal(flows.find(plain(ipPacket({ from, to: other, body: udp(7, 8) })), one), undefined, other)
    }
  }
})

test('an echo is known by its identifier; its answer is another flow', () => {
  for (const [from, to, protocol, request, reply] of [
    ['10.0.0.1', '10.0.0.2', 1, 8, 0],
    ['fd00::1', 'fd00::2', 58, 128, 129],
  ] as const) {
    const flows = new LaneFlows()
    const asks = new LaneFlow(pass(from, to, { protocol, ports: 77 }), undefined, undefined)
    flows.add(asks)
    const packet = (type: number, id: number) => plain(ipPacket({ from, to, protocol, body: echo(type, id) }))
    assert.equal(flows.find(packet(request, 77), undefined), asks)
    assert.equal(flows.find(packet(request, 78), undefined), undefined)
    assert.equal(flows.find(packet(reply, 77), undefined), undefined)
  }
})

test('thousands come and go in any order, each with both directions, and none is lost or left', () => {
  const dice = seeded(3)
  const flows = new LaneFlows()
  const present = new Map<number, LaneFlow[]>()
  const address = (slot: number): string => `10.${slot >> 16}.${(slot >> 8) & 255}.${slot & 255}`
  for (let i = 0; i < 6_000; i++) {
    const slot = Math.floor(dice() * 2_000)
    const known = present.get(slot)
    if (known !== undefined) {
      assert.deepEqual(flows.remove(slot), known)
      present.delete(slot)
    } else {
      const both = [
        new LaneFlow(pass(address(slot), '10.200.0.1', { slot }), undefined, undefined),
        new LaneFlow(pass('10.200.0.1', address(slot), { slot, direction: 1 }), undefined, undefined),
      ]
      for (const flow of both) flows.add(flow)
      present.set(slot, both)
    }
    assert.equal(flows.size, 2 * present.size)
  }
  for (const [slot, [forth]] of present)
    assert.equal(flows.find(plain(ipPacket({ from: address(slot), to: '10.200.0.1', body: udp(7, 8) })), undefined), forth)
  for (const slot of [...present.keys()]) flows.remove(slot)
  assert.equal(flows.size, 0)
  assert.deepEqual(flows.remove(5), [])
})

test('a peer stays for as long as a session or flow names it', () => {
  const peers = new LanePeers()
  const peer = peers.used(4)
  assert.equal(peers.used(4), peer)
  assert.equal(peers.get(4), peer)
  peers.left(peer)
  assert.equal(peers.get(4), peer)
  peer.address = new Uint8Array(16)
  peers.stopSending(peer)
  assert.equal(peer.sends, false)
  assert.equal(peers.get(4), peer, 'it is still named')
  peers.left(peer)
  assert.equal(peers.get(4), undefined)
  assert.equal(peers.size, 0)
  assert.notEqual(peers.used(4), peer)
})
