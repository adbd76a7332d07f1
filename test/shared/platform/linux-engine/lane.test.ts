import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { Traffic } from '#shared/platform/linux-engine/lane-board.ts'
import type { FlowPass } from '#shared/platform/linux-engine/lane-messages.ts'
import { instant } from '#shared/time/instant.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { ipPacket, udp } from '#test/shared/dataplane/packets.ts'
import { LaneInPlace } from './fake-kernel.ts'
import { LaneEnd } from './lane-end.ts'

const words = (text: string): number[] => {
  const address = parseAddress(text)
  const view = new DataView(address.buffer, address.byteOffset, address.length)
  return Array.from({ length: address.length / 4 }, (_, i) => view.getInt32(4 * i, true))
}

const A = '10.0.0.1'
const B = '10.0.0.2'

/** UDP 5 to 6 from one end to another; 0: this host. */
const pass = (slot: number, from: number, to: number, source = A, destination = B): FlowPass => ({
  ...{ version: 4, protocol: 17, source: words(source), destination: words(destination), ports: (5 << 16) | 6 },
  ...{ isReply: false, from, to, until: Number.POSITIVE_INFINITY, slot, direction: 0 },
})

const packet = (size: number, mark = 0): Uint8Array =>
  ipPacket({ from: A, to: B, body: udp(5, 6, new Uint8Array(size - 28).fill(mark)) })

/** A lane that relays from the first to the second. */
function relaying(suite: 'noise' | 'esp', options: ConstructorParameters<typeof LaneEnd>[2] = {}) {
  const lane = new LaneInPlace()
  const [a, b] = [new LaneEnd(suite, 1, options), new LaneEnd(suite, 2, options)]
  for (const end of [a, b]) lane.client.install(end.session)
  lane.client.route(b.association, b.local, b.at)
  lane.client.pass([pass(0, 1, 2)])
  const { arrivals, sent } = lane.kernel
  const arrive = (sizes: readonly number[]): void => {
    for (const size of sizes) arrivals.v4.push({ bytes: a.seal(packet(size, size & 255)), from: a.at })
  }
  /** How many datagrams each call took, and what was in them. */
  const calls = (): number[] => sent.map(({ datagrams }) => datagrams.length)
  const lengths = (): number[] =>
    sent.flatMap(({ datagrams }) => datagrams.map((datagram) => new DataView(b.open(datagram).inner.buffer).getUint16(2)))
  return { lane, a, b, arrive, calls, lengths }
}

for (const suite of ['noise', 'esp'] as const) {
  test(`${suite}: datagrams of one length leave as one, a shorter one ends it, a longer one begins anew, and the order is kept`, () => {
    const { lane, b, arrive, calls, lengths } = relaying(suite)
    const sizes = [800, 800, 800, 400, 800, 1_200, 1_200, 100, 60, 1_200]
    lane.run(
      (function* () {
        arrive(sizes)
        yield
        yield
      })(),
    )
    assert.deepEqual(lengths(), sizes)
    assert.deepEqual(calls(), [4, 1, 3, 1, 1])
    assert.ok(lane.kernel.sent.every(({ to }) => to.address === b.at.address && to.port === b.at.port))
    const numbers = lane.kernel.sent.flatMap(({ datagrams }) => datagrams.map((datagram) => b.open(datagram).number))
    const first = suite === 'esp' ? 1 : 0
    assert.deepEqual(
      numbers,
      sizes.map((_, i) => i + first),
    )
    assert.equal(lane.board.traffic[1], sizes.length)
    assert.equal(lane.board.traffic[2], sizes.length)
  })

  test(`${suite}: no more than 64 at once, nor than one buffer holds`, () => {
    const { lane, arrive, calls, lengths } = relaying(suite)
    lane.run(
      (function* () {
        for (let i = 0; i < 10; i++) {
          arrive(new Array(16).fill(60))
          yield
        }
        yield
      })(),
    )
    assert.equal(lengths().length, 160)
    assert.ok(calls().every((count) => count <= 64))
    const many = relaying(suite)
    many.lane.run(
      (function* () {
        const sealed = Array.from({ length: 150 }, () => many.a.seal(packet(60)))
        const bytes = Uint8Array.from(Buffer.concat(sealed))
        many.lane.kernel.arrivals.v4.push({ bytes, from: many.a.at, segment: sealed[0]!.length })
        yield
        yield
      })(),
    )
    assert.deepEqual(many.calls(), [64, 64, 22])
    const long = relaying(suite)
    long.lane.run(
      (function* () {
        const { arrivals } = long.lane.kernel
        for (let i = 0; i < 8; i++) {
          const sealed = Array.from({ length: 10 }, () => long.a.seal(packet(1_200)))
          arrivals.v4.push({ bytes: Uint8Array.from(Buffer.concat(sealed)), from: long.a.at, segment: sealed[0]!.length })
        }
        yield
        yield
      })(),
    )
    assert.equal(long.lengths().length, 80)
    assert.ok(long.calls().length < 4, 'buffers of many datagrams are taken apart, and joined anew')
  })
}

test('64-bit sequence numbers are authenticated with the half that is not sent', () => {
  const { lane, arrive, lengths } = relaying('esp', { esn: true })
  lane.run(
    (function* () {
      arrive([800, 700])
      yield
      yield
    })(),
  )
  assert.deepEqual(lengths(), [800, 700])
})

test('a buffer of several datagrams is taken apart where it was joined; what is no packet out of the TUN is counted', () => {
  const lane = new LaneInPlace()
  lane.run(
    (function* () {
      const bytes = Uint8Array.from({ length: 25 }, (_, i) => i)
      lane.kernel.arrivals.v6.push({ bytes, from: { address: '2001:db8::1', port: 7 }, segment: 10 })
      lane.kernel.tunReads.push(new Uint8Array(15), new Uint8Array(60).fill(1))
      yield
      yield
    })(),
  )
  assert.deepEqual(
    lane.up.raw.map((datagram) => [...datagram]),
    [
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
      [20, 21, 22, 23, 24],
    ],
  )
  assert.equal(lane.board.dropsOf(DropReason.InnerMalformed), 2)
})

test('where a path refuses batches they leave one by one, now and later; a full socket is waited for once', () => {
  const { lane, arrive, calls, lengths } = relaying('noise')
  lane.run(
    (function* () {
      lane.kernel.sendErrors.push(5)
      arrive([800, 800, 800])
      yield
      arrive([800, 800])
      yield
      lane.kernel.sendErrors.push(11)
      arrive([500])
      yield
      lane.kernel.sendErrors.push(11, 11)
      arrive([501])
      yield
      yield
    })(),
  )
  assert.deepEqual(calls(), [1, 1, 1, 1, 1, 1])
  assert.deepEqual(lengths(), [800, 800, 800, 800, 800, 500])
  assert.equal(lane.board.dropsOf(DropReason.SendFailed), 1)
})

test("the way of a carried peer is the main thread's, and so are packets that have no room or no hop left", () => {
  const { lane, a, b, arrive } = relaying('noise')
  lane.run(
    (function* () {
      lane.client.route(b.association, b.local, { address: 'websocket/3', port: 0 })
      arrive([800, 800])
      yield
      yield
      lane.client.route(b.association, b.local, b.at)
      lane.client.setRoom(b.association, 500)
      arrive([501, 500])
      yield
      const last = packet(300)
      last[8] = 1
      lane.kernel.arrivals.v4.push({ bytes: a.seal(last), from: a.at })
      yield
      lane.client.forget(0)
      arrive([400])
      yield
      yield
    })(),
  )
  assert.equal(lane.up.carried.length, 2)
  assert.ok(lane.up.carried.every((datagram) => b.open(datagram).inner.length === 800))
  assert.equal(lane.kernel.sent.length, 1)
  const size = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(2)
  assert.deepEqual(lane.up.packets.map(size), [501, 300, 400])
})

test("P-30 A-27: another end's flow is nothing to go by; P-01 nor is what was taken before, or came too late", () => {
  for (const suite of ['noise', 'esp'] as const) {
    const { lane, a } = relaying(suite)
    const cheat = new LaneEnd(suite, 3)
    const old = new LaneEnd(suite, 4, { expiresAt: instant(0) })
    lane.run(
      (function* () {
        lane.client.install(cheat.session)
        lane.client.install(old.session)
        yield
        const { v4 } = lane.kernel.arrivals
        v4.push({ bytes: cheat.seal(packet(200)), from: a.at })
        const twice = a.seal(packet(200))
        v4.push({ bytes: twice, from: a.at }, { bytes: twice, from: cheat.at }, { bytes: twice, from: a.at })
        const forged = a.seal(packet(200))
        forged[40]! ^= 1
        v4.push({ bytes: forged, from: a.at })
        v4.push({ bytes: a.seal(packet(200), 20_000), from: a.at })
        v4.push({ bytes: a.seal(packet(200), 5_000), from: a.at })
        v4.push({ bytes: old.seal(packet(200)), from: old.at })
        yield
        yield
      })(),
    )
    assert.equal(lane.up.packets.length, 1)
    assert.equal(lane.board.traffic[2], 2)
    assert.equal(lane.board.dropsOf(DropReason.Replayed), 3)
    assert.equal(lane.board.dropsOf(DropReason.SessionExpired), 1)
    assert.equal(lane.board.dropsOf(DropReason.Unauthentic), 1)
  }
})

test("with another lane's session a lane only seals: what came for it goes up unopened, and its numbers and key are one place's", () => {
  for (const suite of ['noise', 'esp'] as const) {
    const lane = new LaneInPlace({ sessions: 4, flows: 4 }, 2)
    const { kernel, client, up, board } = lane
    // By their numbers the one is lane 1's, the other lane 0's, which runs here.
    const [other, own] = [new LaneEnd(suite, 1), new LaneEnd(suite, 2)]
    const first = suite === 'esp' ? 1 : 0
    lane.run(
      (function* () {
        const numbers = client.install(other.session)!
        client.install(own.session)
        client.route(other.association, other.local, other.at)
        client.pass([pass(0, 2, 1)])
        yield
        const { v4 } = kernel.arrivals
        const astray = other.seal(packet(200))
        v4.push({ bytes: own.seal(packet(300)), from: own.at }, { bytes: astray, from: other.at })
        yield
        assert.equal(numbers.take(), first + 1, 'the number that the lane took is taken')
        v4.push({ bytes: own.seal(packet(301)), from: own.at })
        yield
        client.receive(astray, other.at)
        client.route(other.association, undefined, undefined)
        client.release(other.local, suite)
        client.release(own.local, suite)
        yield
        yield
        assert.deepEqual(up.raw, [astray])
      })(),
    )
    const opened = kernel.sent.flatMap(({ datagrams }) => datagrams.map((datagram) => other.open(datagram)))
    assert.deepEqual(
      opened.map(({ number }) => number),
      [first, first + 2],
    )
    assert.ok(kernel.sent.every(({ to }) => to.port === other.at.port))
    assert.deepEqual([up.heard, up.sent, up.packets.length], [2, 2, 0])
    assert.deepEqual([board.trafficOf(Traffic.relayed), board.trafficOf(Traffic.raised)], [2, 1])
    const keys = (): number => kernel.keys.bytes.filter((byte) => byte !== 0).length
    assert.ok(keys() > 0, 'the other lane may still read its key')
  }
})
