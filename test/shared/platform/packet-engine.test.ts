/** What an engine does in the middle of a town, by the portable road, by a lane and by two: the same to everybody around it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'
import { ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'
import { assertFresh, datagramTo, marked, marksAt, SETTLING, sendEach, settled, streams } from './engine-talk.ts'
import { Town, type TownOptions } from './engine-town.ts'
import { noNative } from './linux-engine/native-here.ts'
import type { Member } from './town-member.ts'
import { HUB4, HUB6, until } from './town-netstack.ts'

interface Case {
  readonly name: string
  /** Wants a town of its own. */
  readonly options?: Partial<TownOptions>
  readonly suites?: readonly TownOptions['suite'][]
  run(t: Parameters<typeof Town.open>[0], town: Town): Promise<void>
}

const cases: readonly Case[] = [
  {
    name: 'echoes, datagrams and streams arrive as they were sent, in both families',
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      for (const address of [b.v4, b.v6, HUB4, HUB6])
        for (let i = 0; i < 3; i++) assert.notEqual(await a.netstack.ping(address), undefined, `${address} answers`)
      const heard: string[] = []
      b.netstack.bindUdp({ port: 53 }, (payload, from) => heard.push(`${from.address} ${payload.length} ${payload.at(-1)}`))
      const port = a.netstack.bindUdp({ port: 0 }, () => undefined)
      const expected: string[] = []
      for (const [i, size] of [1, 15, 16, 17, 1_000, 1_232].entries())
        for (const [to, from] of [
          [b.v4, a.v4],
          [b.v6, a.v6],
        ] as const) {
          port.send(new Uint8Array(size).fill(i), to, 53)
          expected.push(`${from} ${size} ${i}`)
          await until(() => heard.length === expected.length, `${size} bytes arrive`)
        }
      assert.deepEqual(heard, expected)
      await streams(a, b, b.v4, 200_000)
      await streams(b, a, a.v6, 200_000)
      if (town.lane) assert.ok(town.relayedByLane > 300, `the lane has relayed ${town.relayedByLane}`)
      assert.deepEqual(town.drops(), {})
    },
  },
  {
    name: 'the same over an outer IPv6',
    options: { outer: '::1' },
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      await settled(town, a, b)
      await streams(a, b, b.v6, 100_000)
      assert.deepEqual(town.drops(), {})
    },
  },
  {
    name: 'what the policy does not permit does not pass, and nothing of it is handed to a faster road',
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      town.permits = (packet) => packet.protocol !== 17 || packet.destinationPort === 4_001
      await settled(town, a, b)
      const refusals = (): number => town.drops()['filter-refused'] ?? 0
      for (let i = 1; i <= 5; i++) {
        a.send(ipPacket({ from: a.v4, to: b.v4, body: udp(4_000, 4_002, marked(i)) }))
        // Another one's answer in a flow that is not his.
        b.send(ipPacket({ from: b.v4, to: a.v4, body: udp(4_002, 4_000, marked(i)) }))
        await until(() => refusals() === 2 * i, `refusal ${i}`)
      }
      assert.equal(marksAt(b).filter((mark) => mark < SETTLING).length, 0)
      assert.equal(marksAt(a).length, 0)
      b.send(ipPacket({ from: b.v4, to: a.v4, body: udp(4_001, 4_000, marked(77)) }))
      await until(() => marksAt(a).includes(77), 'the answer in a permitted flow passes')
    },
  },
  {
    name: 'a revoked flow ends within a second, by resets to both ends',
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      const atB = new Promise<TcpSocket>((resolve) => b.netstack.listen({ port: 22 }, resolve))
      const client = a.netstack.connect({ address: b.v4, port: 22 })
      const server = await atB
      const echoed: Buffer[] = []
      server.on('data', (part: Buffer) => server.write(part))
      client.on('data', (part: Buffer) => echoed.push(part))
      for (let i = 1; i <= 20; i++) {
        client.write(new Uint8Array(1_000).fill(i))
        await until(() => Buffer.concat(echoed).length === i * 1_000, `echo ${i}`)
      }
      if (town.lane) assert.ok(town.relayedByLane > 20)
      const errors: string[] = []
      const ended = [client, server].map(
        (socket) =>
          new Promise<void>((resolve) =>
            socket
              .on('error', (error) => resolve(void errors.push((error as { code?: string }).code ?? '')))
              .on('close', () => resolve()),
          ),
      )
      const began = performance.now()
      assert.equal(
        town.engine.plane.revoke((flow) => flow.protocol === 6, town.clock.now()),
        1,
      )
      await Promise.all(ended)
      assert.ok(performance.now() - began < 1_000, `${performance.now() - began} ms`)
      assert.deepEqual(errors, ['ECONNRESET', 'ECONNRESET'])
      await streams(a, b, b.v4, 50_000)
    },
  },
  {
    suites: ['noise'],
    name: "P-30 an inner source that is not its sender's is refused and told of, in a flow of another one too",
    async run(t, town) {
      const [a, b, c] = [await town.join(t), await town.join(t), await town.join(t)]
      await settled(town, a, b)
      await settled(town, c, b)
      const refusedAs = (): number => town.drops()['inner-source-refused'] ?? 0
      for (let i = 1; i <= 3; i++) {
        // As if it came from a, in a's flow with b. The cheater seals it himself.
        sealAnything(c, datagramTo(a, b, 500_000 + i))
        await until(() => refusedAs() === i, `refusal ${i}`)
      }
      await sendEach(a, b, [5])
      assert.deepEqual(
        marksAt(b).filter((mark) => mark >= 500_000 && mark < 600_000),
        [],
      )
    },
  },
  {
    name: 'one hop less for what is relayed; the last hop goes no further',
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      await settled(town, a, b)
      a.send(datagramTo(a, b, 1, 2))
      await until(() => marksAt(b).includes(1), 'the last hop but one')
      const last = b.received.at(-1)!
      assert.equal(last[8], 1)
      assert.equal(headerSum(last), 0xffff)
      a.send(datagramTo(a, b, 2, 1))
      a.send(datagramTo(a, b, 3, 0))
      await until(() => town.drops()['hop-limit-exceeded'] === 2, 'both are counted')
      await sendEach(a, b, [4])
      assert.deepEqual(
        marksAt(b).filter((mark) => mark < SETTLING),
        [1, 4],
      )
    },
  },
  {
    name: 'P-01 every datagram is taken once, however often and from wherever it is said again',
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      await settled(town, a, b)
      const from = a.wire.up.length
      await sendEach(a, b, [1, 2, 3, 4, 5, 6, 7, 8])
      const said = a.wire.up.slice(from)
      const before = town.drops().replayed ?? 0
      for (const datagram of said) a.wire.inject(datagram)
      await a.wire.move()
      for (const datagram of [...said].reverse()) a.wire.inject(datagram)
      await until(() => (town.drops().replayed ?? 0) === before + 2 * said.length, 'every replay is counted')
      await sendEach(a, b, [9])
      assert.deepEqual(
        marksAt(b).filter((mark) => mark < SETTLING),
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
      )
    },
  },
  {
    name: "what is nobody's, forged or no message is counted by what it is, and nobody answers it",
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      await settled(town, a, b)
      const isEsp = town.options.suite === 'esp'
      const good = a.wire.up.at(-1)!
      const forged = good.slice()
      forged[isEsp ? 7 : 8]! += 9
      const stranger = good.slice()
      for (const i of [1, 2, 3]) stranger[isEsp ? i : i + 4]! ^= 0xff
      const down = a.wire.down.length
      for (const [datagram, label] of [
        [forged, 'unauthentic'],
        [stranger, 'unknown-receiver'],
        [new Uint8Array(40).fill(0x55), 'unknown-kind'],
        [Uint8Array.of(4, 0, 0, 0, 1), 'unknown-kind'],
      ] as const) {
        const before = { ...town.drops() }
        a.wire.inject(datagram)
        await until(() => JSON.stringify(town.drops()) !== JSON.stringify(before), `${label} is counted`)
        assert.deepEqual(difference(before, town.drops()), { [label]: 1 })
      }
      assert.equal(a.wire.down.length, down)
      await sendEach(a, b, [1])
    },
  },
  {
    name: 'P-03 an end whose port changes goes on, and is answered where it is now',
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      await settled(town, a, b)
      await settled(town, b, a)
      for (let i = 0; i < 3; i++) {
        await a.wire.move()
        await sendEach(a, b, [10 * i + 1, 10 * i + 2])
        await until(() => a.atHub.endpoint?.port === a.wire.port, 'the hub knows the new place')
        await sendEach(b, a, [10 * i + 3, 10 * i + 4])
      }
      const moves = town.events.filter((event) => event.kind === 'roamed' && event.association === a.atHub)
      assert.equal(moves.length, 3)
    },
  },
  {
    name: 'a stream goes on over new keys, several times, and no number of a key is used twice',
    options: { lifetime: { softPackets: 300 } },
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      const renew = (): void => {
        if (town.options.suite === 'noise') a.endpoint.initiate(a.association, a.now)
        a.engine.kick()
      }
      const established = (): number => town.events.filter(({ kind }) => kind === 'established').length
      const before = established()
      for (let i = 0; i < 3; i++) await streams(a, b, b.v4, 150_000, renew)
      assert.ok(established() - before >= 3, `${established() - before} new sessions`)
      assertFresh(a, b)
    },
  },
  {
    name: 'no packet passes in a session that has ended',
    suites: ['noise'],
    options: {},
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      await settled(town, a, b)
      a.endpoint.removePeer(a.association)
      const sessions = town.lane?.sessions.installed
      town.ahead = 181_000
      town.engine.kick()
      const former = a.wire.up.at(-1)!.slice()
      former[8]! += 50
      await until(() => town.events.some(({ kind }) => kind === 'lapsed'), 'the session has ended')
      a.wire.inject(former)
      await until(() => (town.drops()['unknown-receiver'] ?? 0) + (town.drops()['session-expired'] ?? 0) > 0, 'it is counted')
      if (town.lane) assert.ok(town.lane.sessions.installed < sessions!, 'its place in the lane is free')
    },
  },
  {
    name: 'P-25 what has no room on a small path is told of with its size, and a SYN offers no more than fits',
    async run(t, town) {
      const [a, b] = [await town.join(t), await town.join(t)]
      await settled(town, a, b)
      const out = new Uint8Array(PACKET_TOO_BIG_LIMIT)
      const quoted = ipPacket({ from: HUB4, to: b.v4, body: udp(1, 2) })
      town.engine.send(quoted)
      await until(() => b.received.some((packet) => Buffer.compare(packet, quoted) === 0), 'it arrives')
      const size = writePacketTooBig(out, parseAddress(b.v4), parseAddress(HUB4), 900, quoted)
      b.send(out.slice(0, size))
      await until(() => town.engine.plane.sizes.of(b.atHub) === 900, 'the hub knows the size')
      await sendEach(a, b, [1, 2])
      a.send(ipPacket({ from: a.v4, to: b.v4, body: udp(4_000, 4_001, marked(3, 900)) }))
      const isTooBig = (packet: Uint8Array): boolean => packet[9] === 1 && packet[20] === 3 && packet[21] === 4
      await until(() => a.received.some(isTooBig), 'the sender is told')
      const told = a.received.find(isTooBig)!
      assert.equal(new DataView(told.buffer).getUint16(26), 900)
      assert.equal(town.drops()['inner-too-big'], 1)
      a.send(ipPacket({ from: a.v4, to: b.v4, protocol: 6, body: synOffering(1_400) }))
      const isSyn = (packet: Uint8Array): boolean => packet[9] === 6 && (packet[33]! & 2) !== 0
      await until(() => b.received.some(isSyn), 'the SYN arrives')
      assert.equal(new DataView(b.received.find(isSyn)!.buffer).getUint16(42), 900 - 40)
      assert.deepEqual(
        marksAt(b).filter((mark) => mark < SETTLING),
        [0, 1, 2],
      )
    },
  },
  {
    name: 'a member whose datagrams are carried hears and is heard, by one who has UDP too',
    async run(t, town) {
      const [a, b] = [await town.join(t, { carried: true }), await town.join(t)]
      await settled(town, a, b)
      await settled(town, b, a)
      await streams(a, b, b.v6, 60_000)
      assert.equal(a.wire.up.length + a.wire.down.length, 0)
      assert.deepEqual(town.drops(), {})
    },
  },
]

for (const [road, lanes] of [
  ['portable', 0],
  ['with a lane', 1],
  ['with two lanes', 2],
] as const)
  for (const suite of ['noise', 'esp'] as const) {
    const own = cases.filter(({ suites }) => suites?.includes(suite) !== false)
    test(`${road}, ${suite}`, { skip: lanes > 0 && noNative, timeout: 90_000 }, async (t) => {
      const town = await Town.open(t, { suite, lanes })
      for (const { name, run } of own.filter(({ options }) => options === undefined))
        await t.test(name, async (t) => {
          town.begin()
          await run(t, town)
          assert.deepEqual(town.errors, [])
        })
      for (const { name, options, run } of own.filter(({ options }) => options !== undefined))
        await t.test(name, async (t) => {
          const other = await Town.open(t, { suite, lanes, ...options })
          await run(t, other)
          assert.deepEqual(other.errors, [])
        })
    })
  }

/** Seals what the member's own road would refuse, and sends it. */
function sealAnything(member: Member, packet: Uint8Array): void {
  const out = new Uint8Array(2_048)
  const size = member.association.seal(packet, packet.length, out, member.now)
  assert.ok(size > 0)
  member.wire.inject(out.subarray(0, size))
}

function difference(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  const more = Object.entries(after).map(([label, count]) => [label, count - (before[label] ?? 0)] as const)
  return Object.fromEntries(more.filter(([, count]) => count !== 0))
}

/** 0xffff where an IPv4 header is sound. */
function headerSum(packet: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < 20; i += 2) sum += (packet[i]! << 8) | packet[i + 1]!
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return sum
}

function synOffering(mss: number): Uint8Array {
  const segment = new Uint8Array(24)
  segment.set(tcp(5_000, 5_001, 2))
  segment[12] = 6 << 4
  segment.set([2, 4, mss >> 8, mss & 255], 20)
  return segment
}
