import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { LifetimeProbe } from '#agent/io/lifetime-probe.ts'
import { NetworkMemory } from '#agent/io/network-memory.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import { type Duration, instant, milliseconds, seconds, wallTime } from '#shared/time/instant.ts'
import { replyToBinding } from '#shared/wire/stun-answer.ts'

/** Real sockets in a time that runs so much faster: a silence of two minutes passes in a second and a bit. */
const SPEED = 100

const clock = { now: () => instant(performance.now() * SPEED), wall: () => wallTime(Date.now()) }
const timers: Timers = {
  setTimer(span, run) {
    const timer = setTimeout(run, span / SPEED)
    return { clear: () => clearTimeout(timer) }
  },
}
const quiet = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log

/** A broker's STUN behind which a NAT forgets: what asks for another port is let through while that port has spoken lately. */
async function network(t: TestContext, lifetime: Duration) {
  const heardAt = new Map<number, number>()
  const facts = { lifetime, requests: 0 }
  const socket = await UdpSocket.bind({
    address: '127.0.0.1',
    port: 0,
    onDatagram(datagram, from) {
      facts.requests++
      const reply = replyToBinding(datagram, from)
      if (reply === undefined) return
      heardAt.set(from.port, clock.now())
      if (clock.now() - (heardAt.get(reply.to.port) ?? Number.NEGATIVE_INFINITY) < facts.lifetime)
        socket.send(reply.datagram, reply.to)
    },
  })
  t.after(() => socket.close())
  return { broker: { ...socket.local }, facts }
}

async function agent(t: TestContext, broker: { address: string; port: number }) {
  const folder = await mkdtemp(join(tmpdir(), 'adit-lifetime-'))
  const path = join(folder, 'networks.json')
  const set: (number | undefined)[] = []
  const waiting: (() => void)[] = []
  const make = async () => {
    const probe = new LifetimeProbe({
      suite: nativeSuite,
      clock,
      timers,
      log: quiet,
      core: {
        state: 'up',
        association: { endpoint: broker } as never,
        reflexive: { address: '127.0.0.1', port: 1 },
        setKeepaliveInterval(interval) {
          set.push(interval)
          if (interval !== undefined) for (const done of waiting.splice(0)) done()
        },
      },
      memory: await NetworkMemory.open(path, 'salt'),
      fingerprint: async () => 'a'.repeat(32),
      enough: () => seconds(110),
    })
    t.after(() => probe.close())
    return probe
  }
  t.after(() => rm(folder, { recursive: true, force: true }))
  return { make, set, nextInterval: () => new Promise<void>((done) => waiting.push(done)) }
}

const up = { kind: 'up', endpoint: { address: '127.0.0.1', port: 1 }, handshakes: 1 } as const

test('P-05 over real sockets: learned beside the tunnel, remembered over a restart, learned anew when the NAT forgets sooner', async (t) => {
  const { broker, facts } = await network(t, seconds(60))
  const { make, set, nextInterval } = await agent(t, broker)
  const probe = await make()
  let told = nextInterval()
  probe.event(up)
  await told
  const first = set.at(-1)!
  assert.ok(first >= 0.7 * 60_000 && first <= 0.95 * 60_000, `${first} ms of 60 s`)
  assert.equal(probe.status.kind, 'known')
  await probe.close()

  const asked = facts.requests
  const again = await make()
  told = nextInterval()
  again.event(up)
  await told
  assert.ok(Math.abs(set.at(-1)! - first) <= 1, 'remembered')
  assert.equal(facts.requests, asked, 'and not asked for again')
  assert.equal(again.status.kind, 'remembered')

  facts.lifetime = seconds(30)
  told = nextInterval()
  again.event({ kind: 'binding-lost', interval: milliseconds(first) })
  await told
  assert.ok(set.at(-1)! >= 0.7 * 30_000 && set.at(-1)! <= 0.95 * 30_000, `${set.at(-1)} ms of 30 s`)
  await again.close()
})

test('a broker that cannot be asked: the default stays, and it is not asked at each start', async (t) => {
  const socket = await UdpSocket.bind({
    address: '127.0.0.1',
    port: 0,
    onDatagram(datagram, from) {
      const reply = replyToBinding(datagram, from)
      if (reply) socket.send(reply.datagram, from)
    },
  })
  t.after(() => socket.close())
  const { make, set } = await agent(t, { ...socket.local })
  const probe = await make()
  probe.event(up)
  while (probe.status.kind !== 'unknown') await new Promise((done) => setTimeout(done, 20))
  assert.ok(set.every((interval) => interval === undefined))
  await probe.close()
})
