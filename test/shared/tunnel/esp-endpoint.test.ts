import assert from 'node:assert/strict'
import test from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { milliseconds, seconds } from '#shared/time/instant.ts'
import { EspNextHeader } from '#shared/wire/esp.ts'
import { BOB, EspNode, espConnected, espNodes, markOf, packetBetween, peerKeyOf } from './esp-link.ts'

const ike = (node: EspNode) => node.network.sent.filter(({ bytes, from }) => bytes[0] === 0 && from.port === node.address.port)

test('a packet that waits starts the handshake and is the first to go; four messages, then data both ways', () => {
  const { network, alice, bob } = espNodes()
  alice.peer(bob)
  assert.equal(alice.to(bob).state, 'idle')
  assert.equal(alice.send(bob, 1), DropReason.NoSession)
  assert.equal(alice.to(bob).state, 'handshaking')
  assert.equal(alice.send(bob, 2), DropReason.NoSession)
  network.run(1_000)
  assert.deepEqual(
    bob.received.map(({ packet }) => markOf(packet)),
    [1, 2],
  )
  assert.equal(network.sent.filter(({ bytes }) => bytes[0] === 0).length, 4)
  assert.ok(bob.send(alice, 3) > 0)
  network.run(100)
  assert.equal(markOf(alice.received[0]!.packet), 3)
  for (const [node, other] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    assert.equal(node.count('established'), 1)
    assert.equal(node.to(other).peerKey, peerKeyOf(other.name))
    assert.equal(node.to(other).suite, 'esp')
    assert.deepEqual(node.to(other).endpoint, other.address)
    assert.ok(node.to(other).counters.outerReceived > 0)
  }
  assert.equal(bob.endpoint.sizes.halfOpen, 0)
  assert.ok((alice.to(bob).session!.inboundSpi & 0x8000_0000) !== 0)
})

test('A-26 what an authentic packet may carry: IPv4 or IPv6 as its next header says, between the selectors; else it is dropped', () => {
  const { network, alice, bob } = espConnected()
  const session = alice.to(bob).session!
  const good = packetBetween('alice.example', 'bob.example')
  const cases: readonly [string, Uint8Array, number, number][] = [
    ['as it should be', good, EspNextHeader.Ipv6, good.length],
    ['a dummy', good, EspNextHeader.None, 0],
    ['an empty dummy', new Uint8Array(0), EspNextHeader.None, 0],
    ['the other family', good, EspNextHeader.Ipv4, DropReason.InnerMalformed],
    ['transport mode', good, 17, DropReason.InnerMalformed],
    ['nothing', new Uint8Array(0), EspNextHeader.Ipv6, DropReason.InnerMalformed],
    ['a length beyond its end', good.subarray(0, 50), EspNextHeader.Ipv6, DropReason.InnerMalformed],
    ["somebody else's address", packetBetween('carol', 'bob.example'), EspNextHeader.Ipv6, DropReason.SelectorRefused],
    ['to somebody else', packetBetween('alice.example', 'carol'), EspNextHeader.Ipv6, DropReason.SelectorRefused],
    ['too long', packetBetween('alice.example', 'bob.example', 0, 1_501), EspNextHeader.Ipv6, DropReason.InnerTooBig],
  ]
  for (const [title, inner, nextHeader, verdict] of cases) {
    const out = new Uint8Array(1_700)
    const size = session.seal(inner, inner.length, inner.length, nextHeader, out)
    assert.equal(bob.receive(out.subarray(0, size), alice.address), verdict, title)
    assert.equal(bob.receive(out.subarray(0, size), alice.address), DropReason.Replayed, `${title}, again`)
  }
  assert.equal(bob.to(alice).lastAuthentic, network.now)
  assert.equal(bob.endpoint.counters.of(DropReason.SelectorRefused), 2)
})

test('A-26 a wrong SPI, a short or a cut packet, a flipped bit: dropped and counted, nothing moves', () => {
  const { network, alice, bob } = espConnected()
  const out = new Uint8Array(200)
  const inner = packetBetween('alice.example', 'bob.example')
  const datagram = out.subarray(0, alice.to(bob).seal(inner, inner.length, out, network.now))
  const from = { address: '203.0.113.9', port: 9 }
  const before = bob.to(alice).lastAuthentic
  const wrong = datagram.slice()
  wrong[3]! ^= 1
  assert.equal(bob.receive(wrong, from), DropReason.UnknownReceiver)
  for (let length = 20; length < datagram.length; length++) assert.ok(bob.receive(datagram.slice(0, length), from) < 0)
  for (let at = 4; at < datagram.length; at++) {
    const flipped = datagram.slice()
    flipped[at]! ^= 0x10
    assert.ok(bob.receive(flipped, from) < 0)
  }
  assert.equal(bob.to(alice).lastAuthentic, before)
  assert.deepEqual(bob.to(alice).endpoint, alice.address)
  assert.equal(bob.receive(datagram, alice.address), inner.length)
})

test('outbound: what no traffic selector covers is refused, and so is what is too long or no IP', () => {
  const { alice, bob } = espConnected()
  assert.equal(alice.send(bob, 0, packetBetween('alice.example', 'carol')), DropReason.SelectorRefused)
  assert.equal(alice.send(bob, 0, packetBetween('carol', 'bob.example')), DropReason.SelectorRefused)
  assert.equal(alice.send(bob, 0, packetBetween('alice.example', 'bob.example', 0, 1_501)), DropReason.InnerTooBig)
  assert.equal(alice.send(bob, 0, new Uint8Array(60)), DropReason.InnerMalformed)
  assert.ok(alice.send(bob, 0, packetBetween('alice.example', 'bob.example', 0, 1_500)) > 0)
})

test('sendKeepalive is a dummy that the peer hears; data without an answer of the peer gets one after 10 s, once', () => {
  const { network, alice, bob } = espConnected()
  network.run(1_000)
  network.sent.length = 0
  alice.endpoint.sendKeepalive(alice.to(bob), network.now)
  network.run(60_000)
  assert.equal(network.sent.length, 1)
  assert.ok(network.sent[0]!.bytes[0]! >= 0x80)
  assert.equal(bob.to(alice).lastAuthentic, network.sent[0]!.at)
  alice.send(bob, 1)
  network.run(60_000)
  const answers = network.sent.filter(({ from }) => from.port === bob.address.port)
  assert.equal(answers.length, 1)
  assert.ok(answers[0]!.at - network.sent[1]!.at >= 10_000)
})

test('P-07 13 s of silence both ways in both directions of traffic: data flows at once afterwards, and nothing is set up anew', () => {
  for (let seed = 0; seed < 20; seed++) {
    const { network, alice, bob } = espConnected(seed)
    const [before] = [bob.to(alice).counters.handshakes]
    network.loss = 1
    for (let i = 0; i < 65; i++) {
      alice.send(bob, i)
      bob.send(alice, i)
      network.run(200)
    }
    network.loss = 0
    const unblocked = network.now
    const [a, b] = [alice.received.length, bob.received.length]
    while (alice.received.length === a || bob.received.length === b) {
      alice.send(bob, 1_000)
      bob.send(alice, 1_000)
      network.run(200)
      assert.ok(network.now - unblocked < 2_000)
    }
    network.run(20_000)
    assert.equal(bob.to(alice).counters.handshakes, before, `seed ${seed}`)
  }
})

test('a peer that has forgotten us is noticed by its silence and asked anew; what waits meanwhile is not lost for ever', () => {
  const { network, alice, bob } = espConnected(5)
  network.remove(bob)
  const again = new EspNode(network, 'bob.example', BOB)
  const from = network.now
  while (again.received.length === 0 && network.now - from < 60_000) {
    alice.send(bob, 1)
    network.run(500)
  }
  assert.ok(network.now - from < 22_000, `${network.now - from} ms`)
  assert.equal(again.to(alice).state, 'established')
  network.run(60_000)
  assert.equal(alice.to(bob).ikeCount, 1)
  assert.equal(alice.to(bob).sessionCount, 1)
})

test('initiate with a live association asks for a sign of life, and for a new association where none comes', () => {
  const { network, alice, bob } = espConnected(6)
  network.sent.length = 0
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(10_000)
  assert.equal(ike(alice).length, 2, "MOBIKE: where we are, and Bob's question whether we receive there answered")
  network.remove(bob)
  const again = new EspNode(network, 'bob.example', BOB)
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(4_000)
  assert.equal(again.to(alice)?.state, 'established')
})

test('removePeer tells the peer, wipes, and forgets; what comes later is a stranger’s', () => {
  const { network, alice, bob } = espConnected(7)
  const old = bob.to(alice)
  const sealed = new Uint8Array(200)
  const inner = packetBetween('alice.example', 'bob.example')
  const size = alice.to(bob).seal(inner, inner.length, sealed, network.now)
  network.sent.length = 0
  bob.endpoint.removePeer(old)
  assert.equal(bob.endpoint.association(old.peerKey), undefined)
  assert.deepEqual(bob.endpoint.sizes, { halfOpen: 0, ikeSpis: 0, spis: 0 })
  assert.equal(bob.count('lapsed'), 1)
  assert.equal(bob.receive(sealed.slice(0, size), alice.address), DropReason.UnknownReceiver)
  assert.equal(network.sent.length, 1, 'one delete')
  network.run(10)
  assert.equal(alice.count('lapsed'), 1)
  network.run(5_000)
  assert.equal(bob.endpoint.association(old.peerKey)?.state, 'established', 'who always wants the association asks again')
  bob.endpoint.removePeer(old)
})

test('reset forgets everything and leaves the association usable', () => {
  const { network, alice, bob } = espConnected(8)
  alice.to(bob).reset()
  assert.deepEqual(alice.endpoint.sizes, { halfOpen: 0, ikeSpis: 0, spis: 0 })
  assert.equal(alice.to(bob).state, 'idle')
  alice.send(bob, 4)
  network.run(1_000)
  assert.ok(bob.received.some(({ packet }) => markOf(packet) === 4))
  network.run(20_000)
  assert.equal(bob.to(alice).ikeCount, 1)
  assert.equal(bob.to(alice).sessionCount, 1)
})

test('a refused peer learns that and no more; we ask again ever more rarely, and the owner is told why', () => {
  const { network, alice, bob } = espNodes(9, {}, { admits: () => false })
  alice.peer(bob, { firstContact: true })
  network.run(600_000)
  assert.equal(alice.to(bob).state === 'established', false)
  assert.ok(alice.failures.length >= 10 && alice.failures.length < 60, `${alice.failures.length} attempts in ten minutes`)
  assert.equal(bob.failures.length, alice.failures.length)
  assert.match(bob.failures[0]!.message, /alice\.example/)
  assert.doesNotMatch(JSON.stringify(alice.failures), /not known/)
  alice.endpoint.removePeer(alice.to(bob))
  network.run(31_000)
  assert.deepEqual(bob.endpoint.sizes, { halfOpen: 0, ikeSpis: 0, spis: 0 })
  assert.equal(bob.endpoint.association(peerKeyOf('alice.example')), undefined)
})

test('A-30 the peer that answers proves to be another one: no association, no packet of the queue goes there', () => {
  const { network, alice, bob } = espNodes(10)
  const child = alice.child(bob)
  const peer = { peerKey: peerKeyOf('carol.example'), endpoint: BOB, initiation: { expectedId: undefined, child } }
  const association = alice.endpoint.addPeer(peer, network.now)
  association.seal(packetBetween('alice.example', 'bob.example'), 64, new Uint8Array(200), network.now)
  network.run(1_500)
  assert.notEqual(association.state, 'established')
  assert.equal(bob.received.length, 0)
  assert.equal(alice.failures[0]?.code, 'identity-mismatch')
})

test('call sends one message that nothing repeats; its answer still makes the association', () => {
  const { network, alice, bob } = espNodes(11)
  alice.peer(bob)
  network.loss = 1
  alice.endpoint.call(alice.to(bob), network.now)
  network.run(20_000)
  assert.equal(network.sent.length, 1)
  assert.equal(alice.to(bob).state, 'idle')
  network.loss = 0
  alice.endpoint.call(alice.to(bob), network.now)
  network.run(1_000)
  assert.equal(alice.to(bob).state, 'established')
})

test('without demand asking ends after 90 s and the queue is emptied; who always wants the association never stops', () => {
  const { network, alice, bob } = espNodes(12)
  network.loss = 1
  alice.peer(bob)
  alice.send(bob, 1)
  network.run(100_000)
  assert.equal(alice.to(bob).state, 'idle')
  const carol = new EspNode(network, 'carol.example', { address: '192.0.2.7', port: 77 }, { settings: { patience: undefined } })
  carol.peer(bob, { firstContact: true })
  network.run(3_600_000)
  assert.equal(carol.to(bob).state, 'handshaking')
  assert.ok(carol.count('unanswered') > 20)
  network.loss = 0
  network.run(65_000)
  assert.equal(carol.to(bob).state, 'established')
  assert.deepEqual(bob.received, [], 'what had waited for 90 s was dropped')
})

test('both ends begin at once: one IKE SA and one Child SA are left, and nothing is lost on the way', () => {
  for (let seed = 100; seed < 130; seed++) {
    const { network, alice, bob } = espNodes(seed)
    network.delay = 10 + (seed % 5) * 40
    alice.peer(bob)
    bob.peer(alice)
    alice.send(bob, 1)
    bob.send(alice, 1)
    network.run(3_000)
    for (let i = 2; i < 60; i++) {
      alice.send(bob, i)
      bob.send(alice, i)
      network.run(500)
    }
    for (const [node, other] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      assert.equal(node.received.length, 59, `seed ${seed}`)
      assert.equal(node.to(other).ikeCount, 1, `seed ${seed}`)
      assert.equal(node.to(other).sessionCount, 1, `seed ${seed}`)
      assert.equal(node.count('lapsed'), 0, `seed ${seed}`)
    }
    assert.equal(alice.to(bob).ike!.sa.initiatorSpi, bob.to(alice).ike!.sa.initiatorSpi)
  }
})

test('TFC padding: every packet is a multiple of the size asked for, and opens as it was', () => {
  const endpoint = { tfcPadding: 256 }
  const { network, alice, bob } = espConnected(13, { endpoint })
  const sizes = new Set<number>()
  for (let length = 41; length < 1_280; length += 37) {
    const size = alice.send(bob, length, packetBetween('alice.example', 'bob.example', length, length + 4))
    sizes.add(size)
    network.run(50)
    assert.equal(bob.received.at(-1)?.packet.length, length + 4)
  }
  assert.ok(sizes.size <= 6, `${sizes.size} sizes`)
})

test('P-08 handshakes under 30 % loss each way: p50 <= 1.5 s, p99 <= 8 s, all within 30 s', (t) => {
  const times: number[] = []
  for (let seed = 0; seed < 100; seed++) {
    const { network, alice, bob } = espNodes(1_000 + seed)
    network.recording = false
    network.loss = 0.3
    alice.peer(bob, { firstContact: true })
    const from = network.now
    assert.ok(
      network.run(30_000, () => alice.to(bob).state === 'established'),
      `seed ${seed}`,
    )
    times.push(network.now - from)
  }
  times.sort((a, b) => a - b)
  const figures = `n=100 p50=${Math.round(times[50]!)} p99=${Math.round(times[98]!)} max=${Math.round(times[99]!)} ms`
  t.diagnostic(figures)
  assert.ok(times[50]! <= 1_500, figures)
  assert.ok(times[98]! <= 8_000, figures)
})

test('P-09 a round trip of 2 s: one IKE SA, no flap in ten minutes, one spurious retransmission a message at most once it is known', () => {
  const { network, alice, bob } = espNodes(14)
  network.delay = 1_000
  alice.peer(bob, { firstContact: true })
  assert.ok(network.run(20_000, () => alice.to(bob).state === 'established'))
  network.run(20_000)
  network.sent.length = 0
  for (let i = 0; i < 580; i++) {
    alice.send(bob, i)
    if (i % 60 === 0) alice.endpoint.initiate(alice.to(bob), network.now)
    network.run(1_000)
  }
  assert.ok(ike(alice).length <= 30, `${ike(alice).length} messages for 10 requests and 10 answers`)
  assert.equal(alice.count('established'), 1)
  assert.equal(alice.count('lapsed') + bob.count('lapsed'), 0)
  assert.equal(bob.to(alice).ikeCount, 1)
})

test('P-09 an owner who asks again each four seconds does not starve a handshake over a round trip of 3 s', () => {
  for (const delay of [500, 1_000, 1_500]) {
    const { network, alice, bob } = espNodes(20)
    network.delay = delay
    alice.peer(bob, { firstContact: true })
    const from = network.now
    for (let i = 0; i < 10 && alice.to(bob).state !== 'established'; i++) {
      network.run(4_000, () => alice.to(bob).state === 'established')
      if (alice.to(bob).state !== 'established') alice.endpoint.initiate(alice.to(bob), network.now)
    }
    assert.ok(network.now - from <= 4 * delay + 10, `${network.now - from} ms with ${delay} ms each way`)
    network.run(30_000)
    assert.equal(bob.to(alice).ikeCount, 1)
  }
})

test('another endpoint is asked at once, whatever the first one did not answer', () => {
  const { network, alice, bob } = espNodes(21)
  alice.peer(bob, { firstContact: true, endpoint: { address: '198.51.100.99', port: 4500 } })
  network.run(100)
  alice.endpoint.setEndpoint(alice.to(bob), BOB, network.now)
  alice.endpoint.initiate(alice.to(bob), network.now)
  network.run(100)
  assert.equal(alice.to(bob).state, 'established')
})

test('a peer that began on port 500, bare, and goes on at 4500 is answered the way that it spoke last', () => {
  const bare: { bytes: Uint8Array; to: { port: number } }[] = []
  const { network, alice, bob } = espNodes(15)
  const ports = {
    transmit: (bytes: Uint8Array, to: { address: string; port: number }) => network.send(bytes, BOB, to),
    transmitBare: (bytes: Uint8Array, to: { address: string; port: number }) => void bare.push({ bytes: bytes.slice(), to }),
    event: () => {},
  }
  const server = new EspNode(network, 'bob.example', BOB, { endpoint: { ports } })
  alice.peer(bob, { firstContact: true })
  network.filter = () => false
  const init = network.sent[0]!.bytes.slice(4)
  assert.equal(server.endpoint.handleBare(init, { address: '192.0.2.1', port: 500 }, network.now), 0)
  assert.equal(bare.length, 1, 'the answer is bare')
  assert.equal(bare[0]!.to.port, 500)
  network.filter = () => true
  // The answer reaches Alice, who goes on with markers, from another port.
  alice.receive(Uint8Array.from([0, 0, 0, 0, ...bare[0]!.bytes]), BOB)
  network.run(milliseconds(seconds(1)))
  assert.equal(alice.to(server).state, 'established')
  assert.equal(bare.length, 1)
  assert.deepEqual(server.to(alice).endpoint, alice.address)
})
