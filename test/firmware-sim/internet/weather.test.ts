/** The real agent core and the broker's pure parts in bad weather, under virtual time: what the promises of THREATS §1 say in figures. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Duration, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import { Internet, type Site, wires } from '#sim/internet/internet.ts'
import type { LinkQuality } from '#sim/link.ts'
import { type NatBehaviour, natKinds } from '#sim/nat-box.ts'
import { Meeting } from '#test/firmware-sim/internet/meeting.ts'

interface Scene extends Meeting {
  readonly home: Site
  readonly internet: Internet
}

const remote = 'fd00:adad::99'
const hub = 'fd00:adad::1'

/** The distributions at full size, over a simpler wire: test/agent/core/path-repair.test.ts. Here NAT, wires and broker are whole. */
const scenes = 40
const contacts = 1_000

/** The device behind a NAT of a home, the operator on the open internet. */
function scene({
  nat = natKinds['port-restricted'],
  seed = 1,
  delayMs = 20,
  ipv6 = false,
}: {
  nat?: NatBehaviour
  seed?: number
  delayMs?: number
  ipv6?: boolean
}): Scene {
  const internet = new Internet(seed)
  const broker = internet.server('broker', ['198.51.100.2', ...(ipv6 ? ['2001:db8:2:1::2'] : [])])
  const home = internet.site({ nat, ipv6, wires: wires(delayMs) })
  const meeting = new Meeting({ broker, pi: home.host('pi'), ann: internet.server('ann', ['192.0.2.9']) }, seed)
  return Object.assign(meeting, { home, internet })
}

function weather({ home }: Scene, change: Partial<LinkQuality>): void {
  const { outside } = home.router
  outside.up.quality = { ...outside.up.quality, ...change }
  outside.down.quality = { ...outside.down.quality, ...change }
}

/** Whether an echo that the broker sends reaches the device and returns. */
async function echo({ broker, world }: Meeting, timeoutMs = 1_000): Promise<number | undefined> {
  let answer: number | undefined
  let over = false
  void broker.netstack.ping(remote, { timeoutMs }).then((trip) => {
    answer = trip
    over = true
  })
  world.run(milliseconds(timeoutMs + 1))
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(over)
  return answer
}

type Asker = { ping(address: string, options: { timeoutMs: number }): Promise<number | undefined> }

/** Echoes one after another; knows which of those that were sent since `mark` was answered first. */
class Probing {
  answeredAt: number | undefined
  readonly #place: Meeting
  readonly #asker: Asker
  readonly #address: string
  #markedAt = 0

  constructor(place: Meeting, asker: Asker, address: string) {
    this.#place = place
    this.#asker = asker
    this.#address = address
  }

  mark(): number {
    this.#markedAt = this.#place.world.now()
    this.answeredAt = undefined
    return this.#markedAt
  }

  /** One each `every` ms, `count` times or until one is answered that was sent since the mark. */
  async go(count: number, every: number, timeoutMs: number, untilAnswered: boolean): Promise<void> {
    const { world } = this.#place
    for (let i = 0; i < count && !(untilAnswered && this.answeredAt !== undefined); i++) {
      const sent = world.now()
      void this.#asker.ping(this.#address, { timeoutMs }).then((trip) => {
        if (trip !== undefined && sent >= this.#markedAt) this.answeredAt ??= sent + trip
      })
      this.#place.run(every)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

function figures(t: TestContext, what: string, all: number[]): (share: number) => number {
  all.sort((a, b) => a - b)
  const at = (share: number): number => all[Math.min(all.length - 1, Math.floor(all.length * share))]!
  t.diagnostic(
    `${what}: n ${all.length}, p50 ${Math.round(at(0.5))}, p99 ${Math.round(at(0.99))}, max ${Math.round(at(1))} ms, seeds 1..${all.length}`,
  )
  return at
}

test('P-03 a hundred moves between networks and families, a probe every 50 ms: at most two probes of a move are lost, and no handshake is made', async (t) => {
  const place = scene({ ipv6: true })
  assert.ok(place.start())
  const { pi, internet, world } = place
  const lte = internet.site({ nat: natKinds.symmetric, lan: '100.64.9.', ipv6: true, wires: wires(40) })
  pi.host.attach(lte.segment, lte.freeAddresses(['ipv4', 'ipv6']), wires(1))
  const association = pi.core.association!
  const { handshakes } = association.counters
  const lost: number[] = []
  for (let move = 0; move < 100; move++) {
    pi.host.prefer(pi.host.attachments[1]!)
    const address = move % 3 === 2 ? '2001:db8:2:1::2' : '198.51.100.2'
    pi.core.endpoint.setEndpoint(association, { address, port: 4_500 }, world.now())
    const answers: (number | undefined)[] = []
    for (let probe = 0; probe < 4; probe++) {
      void pi.core.netstack.ping(hub, { timeoutMs: 500 }).then((trip) => answers.push(trip))
      place.run(50)
    }
    place.run(600)
    await new Promise((resolve) => setImmediate(resolve))
    lost.push(answers.filter((trip) => trip === undefined).length)
  }
  t.diagnostic(`${lost.reduce((sum, count) => sum + count, 0)} of 400 probes lost`)
  assert.ok(Math.max(...lost) <= 2, `${Math.max(...lost)} lost`)
  assert.equal(association.counters.handshakes - handshakes, 0, 'packets of the session that lives tell where we are')
  // Idle for longer than that is certain of, the binding question finds us elsewhere, and a handshake tells it.
  place.run(30_000)
  lte.router.restart()
  place.home.router.restart()
  place.run(170_000)
  assert.ok(association.counters.handshakes - handshakes <= 1, 'an idle move costs one at most')
  assert.ok((await echo(place, 3_000)) !== undefined)
})

for (const lifetime of [15, 20, 30, 45, 60, 90, 120, 180, 300])
  test(`P-04 a mapping of ${lifetime} s is held while idle: the broker reaches the device whenever it tries, for six hours`, async () => {
    const mappingTimeout = seconds(lifetime)
    const freshTimeout = seconds(Math.min(lifetime, 30))
    const place = scene({ nat: { ...natKinds.symmetric, mappingTimeout, freshTimeout, inboundRefresh: true }, seed: lifetime })
    assert.ok(place.start())
    place.pi.core.setKeepaliveInterval(milliseconds(0.85 * mappingTimeout))
    const sent = place.pi.sentDatagrams
    for (let visit = 0; visit < 12; visit++) {
      place.world.run((minutes(30) + seconds(visit * 7)) as Duration)
      // The first one after a lapsed session waits for its handshake.
      assert.ok((await echo(place, 3_000)) !== undefined, `visit ${visit}`)
    }
    assert.equal(place.pi.events.filter(({ kind }) => kind === 'connecting').length, 1, 'no flap')
    const perInterval = (place.pi.sentDatagrams - sent) / ((6 * 3_600) / (0.85 * lifetime))
    assert.ok(perInterval < 1.7, `${perInterval} datagrams an interval`)
  })

test(`P-06 NAT state lost with a new port while the broker sends: p50 <= 3 s, p99 <= 8 s (n = ${scenes})`, async (t) => {
  const took: number[] = []
  for (let seed = 1; seed <= scenes; seed++) {
    const place = scene({ nat: { ...natKinds.symmetric, inboundRefresh: seed % 2 === 0 }, seed })
    assert.ok(place.start())
    const probing = new Probing(place, place.broker.netstack, remote)
    await probing.go(10 + (seed % 40), 200, 900, false)
    place.home.router.restart()
    const lost = probing.mark()
    await probing.go(75, 200, 900, true)
    took.push((probing.answeredAt ?? Infinity) - lost)
  }
  const at = figures(t, 'the broker sending', took)
  assert.ok(at(0.5) <= 3_000 && at(0.99) <= 8_000)
})

test(`NAT state lost with a new port while the device sends: p99 <= 0.5 s (n = ${scenes})`, async (t) => {
  const took: number[] = []
  for (let seed = 1; seed <= scenes; seed++) {
    const place = scene({ nat: natKinds.symmetric, seed })
    assert.ok(place.start())
    const probing = new Probing(place, place.pi.core.netstack, hub)
    await probing.go(10 + (seed % 40), 200, 900, false)
    place.home.router.restart()
    const lost = probing.mark()
    await probing.go(75, 200, 900, true)
    took.push((probing.answeredAt ?? Infinity) - lost)
  }
  assert.ok(figures(t, 'the device sending', took)(0.99) <= 500)
})

test(`P-07 nothing passes for 13 s: data flows within 2 s of the end, ${scenes} of ${scenes}`, async (t) => {
  const took: number[] = []
  for (let seed = 1; seed <= scenes; seed++) {
    const place = scene({ seed })
    assert.ok(place.start())
    const probing = new Probing(place, place.pi.core.netstack, hub)
    place.run(1_000 + 37 * seed)
    weather(place, { loss: 1 })
    await probing.go(13, 1_000, 900, false)
    weather(place, { loss: 0 })
    const end = probing.mark()
    await probing.go(100, 100, 900, true)
    took.push((probing.answeredAt ?? Infinity) - end)
  }
  assert.ok(figures(t, 'after 13 s of nothing', took)(1) <= 2_000)
})

test(`P-08 30 % lost each way: up after p50 <= 0.6 s, p99 <= 6 s, all <= 15 s (n = ${contacts})`, (t) => {
  const took: number[] = []
  for (let seed = 1; seed <= contacts; seed++) {
    const place = scene({ seed })
    weather(place, { loss: 0.3 })
    const from = place.world.now()
    place.broker.admit(place.pi, { name: 'pi', role: 'device', inner: [remote] })
    assert.ok(
      place.run(15_000, () => place.pi.isUp),
      `seed ${seed}`,
    )
    took.push(place.world.now() - from)
  }
  const at = figures(t, 'up at 30 % loss', took)
  assert.ok(at(0.5) <= 600 && at(0.99) <= 6_000)
})

test('P-09 2 s round trip: one session, no flap in ten minutes, and data flows', async () => {
  const place = scene({ delayMs: 990 })
  assert.ok(place.start(20_000))
  const { received, wrong } = await place.copy(100_000, 120_000)
  assert.deepEqual({ received, wrong }, { received: 100_000, wrong: 0 })
  place.world.run(minutes(10))
  assert.equal(place.pi.events.filter(({ kind }) => kind === 'connecting').length, 1)
  assert.ok(place.pi.core.association!.counters.handshakes <= 2)
})

/** A satellite takes over, or a cell is full: in both directions, or on the way out alone, where what comes in goes on as before. */
for (const [what, isBothWays] of [
  ['both ways', true],
  ['on its way out', false],
] as const)
  test(`F-16 the round trip jumps from 50 ms to 4 s, ${what}, and back: no repair, no new session, and a copy goes on`, async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const place = scene({ seed, delayMs: 5 })
      const { pi, home } = place
      const { up, down } = home.router.outside
      assert.ok(place.start())
      const { handshakes } = pi.core.association!.counters
      const local = pi.core.path!.endpoint
      const becomes = (ms: number): void => {
        up.quality = { ...up.quality, delay: milliseconds(isBothWays ? ms / 2 : ms) }
        if (isBothWays) down.quality = { ...down.quality, delay: milliseconds(ms / 2) }
      }
      const began = place.world.now()
      const { received, wrong } = await place.copy(3_000_000, 400_000, () => {
        const span = place.world.now() - began
        becomes(span < 3_000 + seed * 100 || span > 90_000 ? 50 : 4_000)
      })
      assert.deepEqual({ received, wrong }, { received: 3_000_000, wrong: 0 })
      place.run(30_000)
      const told = pi.events.flatMap((event) => (event.kind === 'health' ? [event.health.state] : []))
      assert.deepEqual(told, ['up'], `seed ${seed}`)
      assert.equal(pi.events.filter(({ kind }) => kind === 'connecting').length, 1)
      assert.deepEqual(pi.core.path!.endpoint, local)
      assert.ok(pi.core.association!.counters.handshakes - handshakes <= 4)
    }
  })

test('64 kbit/s with a queue of a second: a copy goes on, nothing flaps', async () => {
  const place = scene({})
  assert.ok(place.start())
  weather(place, { rate: { bitsPerSecond: 64_000, queueBytes: 8_000 } })
  const { received, wrong } = await place.copy(150_000, 120_000)
  assert.deepEqual({ received, wrong }, { received: 150_000, wrong: 0 })
  assert.equal(place.pi.events.filter(({ kind }) => kind === 'connecting').length, 1)
})

for (const mtu of [1_280, 1_000])
  test(`P-25 a black hole of ${mtu} bytes opens in a running copy: it stalls for 3 s at most`, async (t) => {
    const place = scene({})
    assert.ok(place.start())
    const copy = await place.copy(2_000_000, 60_000, (received) => {
      if (received > 300_000) weather(place, { mtu })
    })
    t.diagnostic(`longest stall ${Math.round(copy.longestGap)} ms`)
    assert.deepEqual({ received: copy.received, wrong: copy.wrong }, { received: 2_000_000, wrong: 0 })
    assert.ok(copy.longestGap <= 3_000, `${copy.longestGap} ms`)
  })

test('30 % loss, doubling, reordering and flipped bits: a copy arrives whole', async () => {
  const place = scene({})
  assert.ok(place.start())
  const reorder = { probability: 0.2, by: milliseconds(30) }
  weather(place, { loss: 0.15, duplication: 0.1, corruption: 0.02, reorder, jitter: milliseconds(10) })
  const { received, wrong } = await place.copy(60_000, 200_000)
  assert.deepEqual({ received, wrong }, { received: 60_000, wrong: 0 })
})

test('P-24 UDP blocked: up by WebSocket within 5 s cold, and back on UDP within 60 s (F-13)', (t) => {
  const place = scene({})
  const { pi, home } = place
  home.router.rules.udpOut = []
  const from = place.world.now()
  assert.ok(place.start(5_000), 'cold')
  t.diagnostic(`cold after ${Math.round(place.world.now() - from)} ms`)
  assert.equal(pi.core.path?.carrier, 'websocket')
  home.router.rules.udpOut = 'all'
  const freed = place.world.now()
  assert.ok(
    place.run(60_000, () => pi.core.path?.carrier === 'udp'),
    'back',
  )
  t.diagnostic(`back after ${Math.round(place.world.now() - freed)} ms`)
})

/** Where what comes in still comes in, nothing but an answer that is missing tells that we are not heard. */
for (const [what, udpIn] of [
  ['both ways', false],
  ['on its way out alone', true],
] as const)
  test(`P-24 UDP blocked ${what} in mid-session: the WebSocket carries the tunnel within 10 s`, (t) => {
    const place = scene({})
    const { pi, home } = place
    assert.ok(place.start())
    place.run(20_000)
    Object.assign(home.router.rules, { udpOut: [], udpIn })
    const blocked = place.world.now()
    const isOver = (): boolean => pi.core.path?.carrier === 'websocket'
    for (let i = 0; i < 200 && !isOver(); i++) {
      void place.broker.netstack.ping(remote)
      void pi.core.netstack.ping(hub)
      place.run(100, isOver)
    }
    const took = place.world.now() - blocked
    t.diagnostic(`after ${Math.round(took)} ms`)
    assert.ok(isOver() && took <= 10_000, `${took} ms`)
  })
