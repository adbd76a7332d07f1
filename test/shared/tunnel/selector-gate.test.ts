import assert from 'node:assert/strict'
import test from 'node:test'
import { SelectorGate } from '#shared/tunnel/selector-gate.ts'
import { foldChecksum, sumWords } from '#shared/wire/checksum.ts'
import type { TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import { selector } from './esp-pair.ts'

interface Fields {
  readonly protocol?: number
  readonly ports?: readonly [number, number]
  readonly fragmentOffset?: number
}

function ipv4(
  source: string,
  destination: string,
  { protocol = 17, ports = [1, 2], fragmentOffset = 0 }: Fields = {},
): Uint8Array {
  const packet = new Uint8Array(28)
  packet.set([0x45, 0, 0, 28, 0, 0, fragmentOffset >> 8, fragmentOffset & 0xff, 64, protocol])
  packet.set(source.split('.').map(Number), 12)
  packet.set(destination.split('.').map(Number), 16)
  packet.set([ports[0] >> 8, ports[0] & 0xff, ports[1] >> 8, ports[1] & 0xff], 20)
  const view = new DataView(packet.buffer)
  view.setUint16(10, foldChecksum(sumWords(view, 0, 20)), true)
  return packet
}

const admits = (gate: SelectorGate, packet: Uint8Array): [boolean, boolean] => [
  gate.admitsInbound(packet, packet.length),
  gate.admitsOutbound(packet, packet.length),
]

test('A-26 an inner packet must come from behind the peer and go to behind us, and the other way round', () => {
  const gate = new SelectorGate([selector('10.0.0.0/8')], [selector('192.168.1.0/24'), selector('192.168.9.7/32')])
  assert.deepEqual(admits(gate, ipv4('192.168.1.4', '10.1.2.3')), [true, false])
  assert.deepEqual(admits(gate, ipv4('192.168.9.7', '10.1.2.3')), [true, false])
  assert.deepEqual(admits(gate, ipv4('10.1.2.3', '192.168.1.255')), [false, true])
  for (const [source, destination] of [
    ['192.168.2.4', '10.1.2.3'],
    ['192.168.9.8', '10.1.2.3'],
    ['192.168.1.4', '11.1.2.3'],
    ['10.1.2.3', '10.1.2.3'],
  ] as const)
    assert.equal(gate.admitsInbound(ipv4(source, destination), 28), false, `${source} -> ${destination}`)
})

test('an address of one family is in no selector of the other; IPv6 by its own offsets', () => {
  const gate = new SelectorGate([selector('fd00::/16')], [selector('fd01::1/128')])
  const packet = new Uint8Array(48)
  packet.set([0x60, 0, 0, 0, 0, 8, 17, 64])
  packet.set([0xfd, 1], 8)
  packet[23] = 1
  packet.set([0xfd, 0], 24)
  assert.deepEqual(admits(gate, packet), [true, false])
  packet[23] = 2
  assert.deepEqual(admits(gate, packet), [false, false])
  assert.deepEqual(admits(gate, ipv4('10.0.0.1', '10.0.0.2')), [false, false])
  assert.equal(gate.admitsInbound(packet, 39), false, 'a header that is not whole')
})

test('selectors of one protocol and port; a later fragment shows no port', () => {
  const web: TrafficSelector = { ...selector('10.0.0.1/32'), protocol: 6, startPort: 80, endPort: 443 }
  const gate = new SelectorGate([web], [selector('0.0.0.0/0')])
  const to = (fields: Fields): boolean => gate.admitsInbound(ipv4('192.0.2.1', '10.0.0.1', fields), 28)
  assert.ok(to({ protocol: 6, ports: [9, 80] }))
  assert.ok(to({ protocol: 6, ports: [9, 443] }))
  assert.ok(!to({ protocol: 6, ports: [80, 444] }))
  assert.ok(!to({ protocol: 17, ports: [9, 80] }))
  assert.ok(!to({ protocol: 6, ports: [9, 80], fragmentOffset: 10 }))
  const icmp: TrafficSelector = { ...selector('10.0.0.1/32'), protocol: 1, startPort: 0x0800, endPort: 0x08ff }
  const echo = new SelectorGate([icmp], [selector('0.0.0.0/0')])
  assert.ok(echo.admitsInbound(ipv4('192.0.2.1', '10.0.0.1', { protocol: 1, ports: [0x0800, 0] }), 28))
  assert.ok(!echo.admitsInbound(ipv4('192.0.2.1', '10.0.0.1', { protocol: 1, ports: [0x0500, 0] }), 28))
})
