import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KernelEnd } from '#agent/core/kernel-end.ts'
import { KernelRoad } from '#agent/core/kernel-road.ts'
import { TcpFlag } from '#shared/dataplane/inner-packet.ts'
import { DropCounters, DropReason } from '#shared/drop-reason.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'

const hub = { id: 7 } as Association
const { Syn, Ack, Fin, Rst } = TcpFlag

function place() {
  const told: string[] = []
  const end: Pick<KernelEnd, 'deliver' | 'passed' | 'isKernels'> = {
    isKernels: () => true,
    deliver: (packet) => void told.push(`deliver ${packet.length}`),
    passed: ({ length }, from, to) => void told.push(`passed ${length} ${from?.id ?? 'here'}>${to?.id ?? 'here'}`),
  }
  const counters = new DropCounters()
  return { told, counters, road: new KernelRoad(end as KernelEnd, counters) }
}

const ends = { IPv4: { from: '100.64.0.1', to: '100.64.0.2' }, IPv6: { from: 'fd00::1', to: 'fd00::2' } }
const echo = (type: number): Uint8Array => Uint8Array.of(type, 0, 0, 0, 0, 1, 0, 1)

for (const [family, { from, to }] of Object.entries(ends)) {
  const icmp = family === 'IPv4' ? { protocol: 1, ask: 8, answer: 0 } : { protocol: 58, ask: 128, answer: 129 }
  const packets: Record<string, { bytes: Uint8Array; begins: boolean }> = {
    SYN: { bytes: ipPacket({ from, to, protocol: 6, body: tcp(1, 22, Syn) }), begins: true },
    'SYN, FIN': { bytes: ipPacket({ from, to, protocol: 6, body: tcp(1, 22, Syn | Fin) }), begins: true },
    'SYN, RST': { bytes: ipPacket({ from, to, protocol: 6, body: tcp(1, 22, Syn | Rst) }), begins: true },
    'SYN, ACK': { bytes: ipPacket({ from, to, protocol: 6, body: tcp(22, 1, Syn | Ack) }), begins: false },
    ACK: { bytes: ipPacket({ from, to, protocol: 6, body: tcp(22, 1, Ack) }), begins: false },
    RST: { bytes: ipPacket({ from, to, protocol: 6, body: tcp(22, 1, Rst) }), begins: false },
    UDP: { bytes: ipPacket({ from, to, body: udp(53, 4_000) }), begins: true },
    'echo request': { bytes: ipPacket({ from, to, protocol: icmp.protocol, body: echo(icmp.ask) }), begins: false },
    'echo reply': { bytes: ipPacket({ from, to, protocol: icmp.protocol, body: echo(icmp.answer) }), begins: false },
    SCTP: { bytes: ipPacket({ from, to, protocol: 132, body: new Uint8Array(16) }), begins: true },
  }

  test(`${family}: who may only answer begins nothing at the kernel, and what he may not takes no fast road`, () => {
    for (const [name, { bytes, begins }] of Object.entries(packets)) {
      const { told, counters, road } = place()
      road.arrived(bytes, hub, true)
      assert.deepEqual(told, begins ? [] : [`deliver ${bytes.length}`, `passed ${bytes.length} 7>here`], name)
      assert.equal(counters.of(DropReason.FilterRefused), begins ? 1 : 0, name)
    }
  })

  test(`${family}: from anybody else all of that arrives`, () => {
    for (const [name, { bytes }] of Object.entries(packets)) {
      const { told, road } = place()
      road.arrived(bytes, hub, false)
      assert.equal(told[0], `deliver ${bytes.length}`, name)
    }
  })

  test(`${family}: the kernel's own packets are named to the fast road, whatever is no packet is not`, () => {
    const { told, road } = place()
    const { bytes } = packets.ACK!
    road.left(bytes, hub)
    road.left(bytes.subarray(0, 9), hub)
    assert.deepEqual(told, [`passed ${bytes.length} here>7`])
  })

  test(`${family}: a packet that is none reaches nobody, and is counted`, () => {
    const { told, counters, road } = place()
    for (let length = 0; length < packets.UDP!.bytes.length; length++)
      road.arrived(packets.UDP!.bytes.slice(0, length), hub, false)
    assert.deepEqual(told, [])
    assert.equal(counters.of(DropReason.InnerMalformed), packets.UDP!.bytes.length)
  })
}

test('a later fragment says not what it belongs to: who may only answer sends none', () => {
  const { told, road } = place()
  road.arrived(ipPacket({ ...ends.IPv4, protocol: 6, body: new Uint8Array(64), fragmentField: 100 }), hub, true)
  assert.deepEqual(told, [])
})
