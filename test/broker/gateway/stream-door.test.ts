import assert from 'node:assert/strict'
import test from 'node:test'
import { StreamDoor, type StreamLimits } from '#broker/gateway/stream-door.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { StreamEvents } from '#shared/platform/datagram-stream.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Instant, instant } from '#shared/time/instant.ts'
import { type Endpoint, endpointText, isCarried } from '#shared/wire/endpoint.ts'

/** A door in virtual time, with streams that only remember. */
class Porch {
  now = 0
  readonly received: { from: Endpoint; length: number }[] = []
  /** What the gateway says of the next datagrams. */
  verdict = 0
  readonly door: StreamDoor
  readonly #due: { at: number; call: () => void }[] = []

  constructor(limits: Partial<StreamLimits> = {}) {
    const timers: Timers = {
      setTimer: (delay, call) => {
        const due = { at: this.now + delay, call }
        this.#due.push(due)
        return { clear: () => void this.#due.splice(this.#due.indexOf(due), 1) }
      },
    }
    const clock = { now: (): Instant => instant(this.now) }
    const receive = (datagram: Uint8Array, from: Endpoint): number => {
      this.received.push({ from, length: datagram.length })
      return this.verdict
    }
    this.door = new StreamDoor({ clock, timers, receive, limits })
  }

  pass(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const [next] = this.#due.sort((a, b) => a.at - b.at)
      if (next === undefined || next.at > end) break
      this.#due.shift()
      this.now = next.at
      next.call()
    }
    this.now = end
  }

  come(address: string, carrier: 'websocket' | 'tcp' = 'websocket'): Visitor | undefined {
    if (!this.door.admits(address)) return undefined
    const visitor = new Visitor()
    this.door.enter(carrier, { address, port: 40_000 }, (events) => {
      visitor.events = events
      return {
        send: (datagram) => visitor.open && visitor.sent.push(datagram.slice()) > 0,
        ping: () => void visitor.pings++,
        close: (why) => visitor.end(why),
      }
    })
    return visitor
  }
}

class Visitor {
  events!: StreamEvents
  open = true
  ended: string | undefined
  pings = 0
  readonly sent: Uint8Array[] = []

  say(datagram: Uint8Array): void {
    this.events.datagram(datagram)
  }

  end(why: string): void {
    if (!this.open) return
    this.open = false
    this.ended = why
    this.events.closed(why)
  }
}

const data = Buffer.concat([Buffer.of(4, 0, 0, 0), Buffer.alloc(28)])
const initiation = Buffer.concat([Buffer.of(1, 0, 0, 0), Buffer.alloc(144)])

test('a stream is an endpoint of its own, and is spoken of by where it comes from, also when it has ended', () => {
  const porch = new Porch()
  const one = porch.come('192.0.2.1')!
  porch.come('2001:db8::7', 'tcp')!.say(data)
  one.say(data)
  const [tcp, websocket] = porch.received.map(({ from }) => from)
  assert.ok(isCarried(tcp!) && isCarried(websocket!) && endpointText(tcp!) !== endpointText(websocket!))
  assert.equal(porch.door.describe(websocket!), 'websocket from 192.0.2.1')
  assert.equal(porch.door.describe(tcp!), 'tcp from 2001:db8::7')
  assert.equal(porch.door.describe({ address: '192.0.2.9', port: 4500 }), '192.0.2.9:4500')
  assert.equal(porch.door.send(Buffer.from('x'), websocket!), true)
  one.end('gone')
  assert.equal(porch.door.send(Buffer.from('x'), websocket!), false)
  assert.equal(porch.door.describe(websocket!), 'websocket from 192.0.2.1')
  assert.deepEqual([porch.door.counters.dropped, porch.door.counters.open], [1, 1])
})

test('A-55 A-87 a stream without an authentic packet is closed after 15 s, one with it is not', () => {
  const porch = new Porch()
  const mute = porch.come('192.0.2.1')!
  const knocking = porch.come('192.0.2.2')!
  const refused = porch.come('192.0.2.3')!
  const proven = porch.come('192.0.2.4')!
  const established = porch.come('192.0.2.5')!
  proven.say(data)
  established.say(initiation)
  porch.door.proven(porch.received.at(-1)!.from)
  for (let i = 0; i < 4; i++) {
    knocking.say(initiation)
    porch.verdict = DropReason.Unauthentic
    refused.say(data)
    porch.verdict = 0
    porch.pass(5_000)
  }
  assert.deepEqual(
    [mute, knocking, refused, proven, established].map(({ open }) => open),
    [false, false, false, true, true],
  )
  assert.equal(porch.door.counters.unfounded, 3)
  assert.equal(porch.door.counters.unproven, 0)
})

test('A-55 before it is proven a stream may send so many bytes and no more', () => {
  const porch = new Porch({ unprovenBytes: 1_000 })
  porch.verdict = DropReason.UnknownKind
  const stranger = porch.come('192.0.2.1')!
  for (let i = 0; i < 20; i++) if (stranger.open) stranger.say(initiation)
  assert.equal(stranger.open, false)
  assert.ok(porch.received.reduce((sum, { length }) => sum + length, 0) <= 1_000)
})

test('P-11 caps of one address, /64 for IPv6; strangers make room for strangers and never for the proven', () => {
  const porch = new Porch({ perAddress: 4, unprovenPerAddress: 2, unproven: 3, connections: 8 })
  const first = porch.come('2001:db8:0:1::1')!
  assert.ok(porch.come('2001:db8:0:1:ffff::2'))
  assert.equal(porch.come('2001:db8::1:0:0:0:3'), undefined, 'the third unproven of one /64')
  first.say(data)
  assert.ok(porch.come('2001:db8:0:1::3'), 'one has proven itself')
  const other = porch.come('192.0.2.1')!
  const late = porch.come('192.0.2.2')!
  assert.ok(late.open && other.open && first.open)
  assert.equal(porch.door.counters.unproven, 3, 'the oldest stranger went')
  late.say(data)
  for (let i = 0; i < 9; i++) porch.come(`198.51.100.${i}`)?.say(data)
  assert.equal(porch.door.counters.open, 8)
  assert.ok(porch.door.counters.refused >= 2)
  const local = new Porch({ perAddress: 2, unprovenPerAddress: 2 })
  for (let i = 0; i < 5; i++) assert.ok(local.come('127.0.0.1'), 'a server of this machine passes streams of many on')
})

test('a silent WebSocket is asked, and given up when it does not answer; TCP has its own ways', () => {
  const porch = new Porch()
  const [quiet, answering, tcp] = [porch.come('192.0.2.1')!, porch.come('192.0.2.2')!, porch.come('192.0.2.3', 'tcp')!]
  for (const one of [quiet, answering, tcp]) one.say(data)
  for (let i = 0; i < 40; i++) {
    porch.pass(5_000)
    if (answering.pings > 0) answering.events.alive()
  }
  assert.deepEqual([quiet.open, answering.open, tcp.open], [false, true, true])
  assert.equal(quiet.pings, 1)
  porch.pass(500_000)
  assert.equal(tcp.open, false)
})
