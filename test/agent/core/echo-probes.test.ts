import assert from 'node:assert/strict'
import test from 'node:test'
import { EchoProbes, SMALL_PROBE } from '#agent/core/echo-probes.ts'
import { InnerPacket, PacketKind } from '#shared/dataplane/inner-packet.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { instant, wallTime } from '#shared/time/instant.ts'
import { seededSuite } from '#test/shared/tunnel/virtual-link.ts'

const own = ['fd00:adad::99', '100.64.0.9']
const clock = { now: () => instant(0), wall: () => wallTime(0) }

/** What a broker's netstack answers. */
function answersTo(packet: Uint8Array, addresses: string[]): Uint8Array[] {
  const answers: Uint8Array[] = []
  const transmit = (answer: Uint8Array): void => void answers.push(Uint8Array.from(answer))
  new Netstack({ suite: seededSuite(2), clock, addresses, transmit, mtu: 1500 }).input(packet)
  return answers
}

for (const broker of [['fd00:adad::1'], ['100.64.0.1']])
  test(`a probe to ${broker[0]} is answered in its own size, once, by the broker alone`, () => {
    const probes = new EchoProbes(seededSuite(1))
    assert.equal(probes.write(SMALL_PROBE, instant(0)), undefined, 'nobody to ask yet')
    probes.setEnds(own, broker)
    for (const size of [SMALL_PROBE, 576, 1_280, 1_420]) {
      const probe = probes.write(size, instant(100))!
      assert.equal(probe.length, size)
      const [answer] = answersTo(probe, broker)
      assert.ok(answer)
      const from = new InnerPacket()
      assert.equal(from.read(answer, answer.length), 0)
      const forged = Uint8Array.from(answer)
      forged[from.sourceAt + 1]! ^= 1
      assert.equal(probes.read(forged, instant(150)), undefined)
      assert.notEqual(
        typeof probes.read(answer.subarray(0, answer.length - 1), instant(150)),
        'object',
        'another size is no answer',
      )
      assert.deepEqual(probes.read(answer, instant(150)), { size, sentAt: 100, roundTrip: 50 })
      assert.equal(probes.read(answer, instant(160)), 'late')
    }
    assert.equal(probes.read(Uint8Array.of(0x60), instant(0)), undefined)
  })

test('the notice of our MTU is a packet too big about an answer of the broker', () => {
  const probes = new EchoProbes(seededSuite(1))
  probes.setEnds(own, ['fd00:adad::1'])
  const notice = probes.notice(928)!
  const packet = new InnerPacket()
  assert.equal(packet.read(notice, notice.length), 0)
  assert.equal(packet.kind, PacketKind.IcmpError)
  assert.equal(new DataView(notice.buffer, notice.byteOffset).getUint32(packet.transportAt + 4), 928)
  const quoted = new InnerPacket()
  assert.equal(quoted.readQuoted(packet), 0)
  assert.equal(quoted.kind, PacketKind.EchoReply)
})
