/** The main thread stands still for a second: who was let pass before goes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { datagramTo, settled } from './engine-talk.ts'
import { Town } from './engine-town.ts'
import { noNative } from './linux-engine/native-here.ts'
import type { Member } from './town-member.ts'
import { until } from './town-netstack.ts'

const SAID = 100
/** Datagrams of each end that come before, so that it is known where it is. */
const GREETINGS = 20
/** Between two datagrams of one end, ms. */
const PACE = 10
/** All is over when nothing more has come for so long, ms: on a busy machine the last ones take their time. */
const QUIET = 1_000

interface Conversation {
  readonly hub: { readonly address: string; readonly port: number }
  /** What each end says before, by which it becomes known, and then. */
  readonly hello: readonly Uint8Array[][]
  readonly sealed: readonly Uint8Array[][]
  /** Three words: how many each end has heard, and 1 when all is over. */
  readonly heard: Int32Array
}

/** Both ends of a conversation, in a thread of their own: they say what was sealed for them before, and count what comes. */
const caller = `
  const { createSocket } = require('node:dgram')
  const { parentPort, workerData } = require('node:worker_threads')
  const { hub, hello, sealed, heard } = workerData
  const ends = [createSocket('udp4'), createSocket('udp4')]
  const say = (i, datagram) => ends[i].send(datagram, hub.port, hub.address)
  for (const [i, end] of ends.entries()) {
    end.on('message', () => Atomics.add(heard, i, 1))
    end.bind(0, hub.address, () => {
      greet(i, 0)
      parentPort.postMessage([i, end.address().port])
    })
  }
  parentPort.once('message', () => {
    heard.fill(0)
    talk(0)
  })
  function greet(i, n) {
    if (n === hello[i].length) return
    say(i, hello[i][n])
    setTimeout(greet, ${PACE}, i, n + 1)
  }
  function talk(n) {
    if (n < sealed[0].length) {
      for (const i of [0, 1]) say(i, sealed[i][n])
      return setTimeout(talk, ${PACE}, n + 1)
    }
    end(-1)
  }
  function end(before) {
    const now = heard[0] + heard[1]
    if (now !== before && now < 2 * sealed[0].length) return setTimeout(end, ${QUIET}, now)
    Atomics.store(heard, 2, 1)
    Atomics.notify(heard, 2)
    for (const socket of ends) socket.close()
  }
`

function seal(from: Member, to: Member, mark: number): Uint8Array {
  const out = new Uint8Array(2_048)
  const packet = datagramTo(from, to, mark)
  const size = from.association.seal(packet, packet.length, out, from.now)
  assert.ok(size > 0)
  return out.slice(0, size)
}

/** How many of 100 datagrams each end hears from the other while this thread does nothing. */
async function conversation(
  t: Parameters<typeof Town.open>[0],
  suite: 'noise' | 'esp',
  laned: boolean,
): Promise<[number, number]> {
  const town = await Town.open(t, { suite, lanes: laned ? 1 : 0 })
  const [a, b] = [await town.join(t), await town.join(t)]
  await settled(town, a, b)
  await settled(town, b, a)
  const heard = new Int32Array(new SharedArrayBuffer(12))
  const several = (from: Member, to: Member, count: number) => Array.from({ length: count }, (_, n) => seal(from, to, n))
  const data: Conversation = {
    hub: { ...town.local },
    hello: [several(a, b, GREETINGS), several(b, a, GREETINGS)],
    sealed: [several(a, b, SAID), several(b, a, SAID)],
    heard,
  }
  const thread = new Worker(caller, { eval: true, workerData: data })
  t.after(() => thread.terminate())
  const ports: number[] = []
  thread.on('message', ([i, port]) => {
    ports[i] = port
  })
  await until(() => a.atHub.endpoint?.port === ports[0] && b.atHub.endpoint?.port === ports[1], 'the hub knows where they are')
  await until(() => Atomics.load(heard, 0) >= 1 && Atomics.load(heard, 1) >= 1, 'they hear each other')
  thread.postMessage('go')
  assert.notEqual(Atomics.wait(heard, 2, 0, 15_000), 'timed-out')
  return [Atomics.load(heard, 0), Atomics.load(heard, 1)]
}

for (const suite of ['noise', 'esp'] as const)
  test(`F-26 ${suite}: with a lane, what was let pass goes on while the main thread stands still`, {
    skip: noNative,
    timeout: 40_000,
  }, async (t) => {
    const [atA, atB] = await conversation(t, suite, true)
    assert.ok(atA >= SAID - 5 && atB >= SAID - 5, `${atA} and ${atB} of ${SAID} arrived`)
  })

test('F-26 on the portable road nothing passes meanwhile: the measurement can tell', async (t) => {
  const [atA, atB] = await conversation(t, 'noise', false)
  assert.ok(atA < SAID / 2 && atB < SAID / 2, `${atA} and ${atB} arrived`)
})
