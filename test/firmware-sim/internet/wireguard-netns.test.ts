/**
 * The scenarios of WireGuard's netns.sh that a core without a kernel can meet (their names are the tests'). The others are elsewhere:
 * throughput, big MTU and wg-quick's routing need kernels (test/interop/wireguard-go.test.ts); change of keys, low-order points, clamping
 * and null keys are the tunnel's own (test/shared/tunnel); fwmark, bound devices, routing loops and onion routing are routes of a kernel,
 * which our user-space ends have none of.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { milliseconds, seconds } from '#shared/time/instant.ts'
import { Internet, wires } from '#sim/internet/internet.ts'
import { natKinds } from '#sim/nat-box.ts'
import { Meeting } from '#test/firmware-sim/internet/meeting.ts'

const hub = 'fd00:adad::1'
const remote = 'fd00:adad::99'

/** Device and operator on the open internet, with both families. */
function open(seed = 1) {
  const internet = new Internet(seed)
  const broker = internet.server('broker', ['198.51.100.2', '198.51.100.3', '2001:db8:2:1::2'])
  const pi = internet.server('pi', ['192.0.2.1', '2001:db8:5:1::1'])
  const ann = internet.server('ann', ['192.0.2.9'])
  const meeting = new Meeting({ broker, pi, ann }, seed)
  assert.ok(meeting.start())
  return { internet, meeting, pi: meeting.pi, broker: meeting.broker }
}

async function echoes(
  meeting: Meeting,
  asker: { ping: Meeting['pi']['core']['netstack']['ping'] },
  address: string,
  count: number,
) {
  let answered = 0
  for (let i = 0; i < count; i++)
    void asker.ping(address, { timeoutMs: 900 }).then((trip) => (trip === undefined ? 0 : answered++))
  meeting.run(1_000)
  await new Promise((resolve) => setImmediate(resolve))
  return answered
}

test('ping flood both ways, counters, outer IPv4 and outer IPv6', async () => {
  const { meeting, pi, broker } = open()
  for (const address of ['198.51.100.2', '2001:db8:2:1::2']) {
    const association = pi.core.association!
    pi.core.endpoint.setEndpoint(association, { address, port: 4_500 }, meeting.world.now())
    const before = { ...association.counters }
    assert.equal(await echoes(meeting, pi.core.netstack, hub, 10), 10)
    assert.equal(await echoes(meeting, broker.netstack, remote, 10), 10)
    const { innerSent, innerReceived } = association.counters
    // Twenty echoes of 56 bytes in IPv6 and ICMP, each with its answer; probes of the core's own come on top.
    assert.ok(innerSent - before.innerSent >= 20 * 104 && innerReceived - before.innerReceived >= 20 * 104)
    assert.equal(broker.association(pi)?.endpoint?.address.includes(':'), address.includes(':'))
  }
})

test('roaming v4 and v6: another source is learned from an authenticated packet, a family switch too', async () => {
  const { meeting, pi, broker } = open()
  const { world } = meeting
  const [at] = pi.host.attachments
  for (const [address, own] of [
    ['198.51.100.2', '192.0.2.77'],
    ['2001:db8:2:1::2', '2001:db8:5:1::77'],
    ['198.51.100.2', '192.0.2.78'],
  ] as const) {
    at!.segment.renumber(at!, [own])
    pi.core.endpoint.setEndpoint(pi.core.association!, { address, port: 4_500 }, world.now())
    assert.equal(await echoes(meeting, pi.core.netstack, hub, 1), 1)
    assert.equal(broker.association(pi)?.endpoint?.address, own)
  }
})

test('crypto-RP filter: an inner source that is not the sender’s own is dropped, and nobody hears of it (P-30)', async () => {
  const { meeting, pi, broker } = open()
  const spoofed = broker.spoofed
  // The device takes the operator's inner address for its own.
  pi.core.netstack.setAddresses(['fd00:adad::77'])
  assert.equal(await echoes(meeting, pi.core.netstack, hub, 3), 0)
  assert.equal(broker.spoofed, spoofed + 3)
})

test('NAT and persistent keepalive: behind a NAT that forgets after 4 s, a keepalive each second or two keeps the inbound path open', async () => {
  const internet = new Internet(4)
  const broker = internet.server('broker', ['198.51.100.2'])
  const nat = { ...natKinds.symmetric, mappingTimeout: seconds(4) }
  const home = internet.site({ nat, wires: wires(5) })
  const meeting = new Meeting({ broker, pi: home.host('pi'), ann: internet.server('ann', ['192.0.2.9']) })
  assert.ok(meeting.start())
  meeting.pi.core.setKeepaliveInterval(milliseconds(1_000))
  for (let i = 0; i < 5; i++) {
    meeting.run(3_000)
    assert.equal(await echoes(meeting, meeting.broker.netstack, remote, 1), 1)
  }
})

test('source address sticky, and let go: a new local address is used when the old one is removed, v4 and v6', async () => {
  for (const [first, second, broker] of [
    ['192.0.2.31', '192.0.2.32', '198.51.100.2'],
    ['2001:db8:5:1::31', '2001:db8:5:1::32', '2001:db8:2:1::2'],
  ] as const) {
    const { meeting, pi } = open()
    const [at] = pi.host.attachments
    at!.segment.renumber(at!, [first, second])
    pi.core.endpoint.setEndpoint(pi.core.association!, { address: broker, port: 4_500 }, meeting.world.now())
    assert.equal(await echoes(meeting, pi.core.netstack, hub, 2), 2)
    assert.equal(meeting.broker.association(pi)?.endpoint?.address, first)
    at!.segment.renumber(at!, [second])
    assert.equal(await echoes(meeting, pi.core.netstack, hub, 2), 2)
    assert.equal(meeting.broker.association(pi)?.endpoint?.address, second)
  }
})

test('reply from the address that was addressed: each of the broker’s addresses answers as itself', async () => {
  const { meeting, pi } = open()
  for (const address of ['198.51.100.3', '198.51.100.2', '2001:db8:2:1::2']) {
    // An answer that is still under way from the former address would be followed there.
    meeting.run(5_000)
    pi.core.endpoint.setEndpoint(pi.core.association!, { address, port: 4_500 }, meeting.world.now())
    assert.equal(await echoes(meeting, pi.core.netstack, hub, 2), 2)
    assert.equal(pi.core.association?.endpoint?.address, address)
  }
})

test('wg through wg: the association of two ends rides in those with the broker, and carries a copy', async () => {
  const { meeting } = open()
  // Nothing passes but what goes by the broker.
  for (const { host } of [meeting.pi, meeting.ann]) host.onSend = ({ to }) => to.address.startsWith('198.51.100.')
  assert.deepEqual(meeting.meet(), ['relay', 'relay'])
  const { received, wrong } = await meeting.copy(50_000, 20_000)
  assert.deepEqual({ received, wrong }, { received: 50_000, wrong: 0 })
})

test('padding and route MTU: where 1,360 bytes pass and no more, inner packets of 1,280 bytes do', async () => {
  const { meeting, pi } = open()
  const [at] = pi.host.attachments
  for (const wire of [at!.up, at!.down]) wire.quality = { ...wire.quality, mtu: 1_360 }
  // 40 bytes of IPv6, 8 of ICMP.
  let trip: number | undefined
  void pi.core.netstack.ping(hub, { bytes: 1_280 - 48, timeoutMs: 900 }).then((answer) => {
    trip = answer
  })
  meeting.run(1_000)
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(trip !== undefined)
})
