import assert from 'node:assert/strict'
import { once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { OuterUdp } from '#agent/io/outer-udp.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

interface Heard {
  readonly text: string
  readonly port: number
}

/** Somebody on loopback who remembers what came, and from which port. */
async function other(t: TestContext) {
  const heard = new EventTarget()
  const socket = await UdpSocket.bind({
    address: '127.0.0.1',
    port: 0,
    onDatagram: (datagram, { port }) => {
      const detail: Heard = { text: Buffer.from(datagram).toString(), port }
      heard.dispatchEvent(new CustomEvent('datagram', { detail }))
    },
  })
  t.after(() => socket.close())
  const next = async (): Promise<Heard> => ((await once(heard, 'datagram'))[0] as CustomEvent<Heard>).detail
  const say = (text: string, port: number) => socket.send(Buffer.from(text), { address: '127.0.0.1', port })
  return { place: { address: '127.0.0.1', port: socket.local.port }, next, say }
}

/** An agent's port, with a peer and a broker; whatever comes is answered with the same words. `pass` lets all timers run out. */
async function scene(t: TestContext) {
  const [peer, broker] = [await other(t), await other(t)]
  const timers = new Set<() => void>()
  const byHand: Timers = {
    setTimer: (_delay, callback) => {
      timers.add(callback)
      return { clear: () => timers.delete(callback) }
    },
  }
  const rebound = new EventTarget()
  const udp = await OuterUdp.open({
    timers: byHand,
    onDatagram: (datagram, from) => udp.send(datagram, from),
    onRebound: () => rebound.dispatchEvent(new Event('rebound')),
    isBroker: ({ port }: Endpoint) => port === broker.place.port,
  })
  t.after(() => udp.close())
  const rebind = async (): Promise<number> => {
    const done = once(rebound, 'rebound')
    udp.rebind()
    await done
    return udp.local.port
  }
  const pass = (): void => {
    const due = [...timers]
    timers.clear()
    for (const callback of due) callback()
  }
  const answerTo = async (who: typeof peer, port: number): Promise<Heard> => {
    const answer = who.next()
    who.say('hello', port)
    return answer
  }
  return { udp, peer, broker, rebind, pass, answerTo, waiting: () => timers.size }
}

test('the port at which the broker answered last is found, and answers, for as long as it answers at no other', async (t) => {
  const { udp, peer, rebind, pass, answerTo, waiting } = await scene(t)
  const home = udp.local.port
  udp.answered()
  const second = await rebind()
  const third = await rebind()
  pass()
  assert.equal(new Set([home, second, third]).size, 3)
  assert.deepEqual(await answerTo(peer, home), { text: 'hello', port: home })
  // Who comes by the new one is answered there from then on.
  assert.deepEqual(await answerTo(peer, third), { text: 'hello', port: third })
  assert.equal(waiting(), 0)
  udp.answered()
  assert.equal(waiting(), 1, 'the old one is left soon')
})

test('to the broker everything goes by the new port, wherever it is heard: it was for the broker that the old one was left', async (t) => {
  const { udp, broker, rebind, answerTo } = await scene(t)
  const home = udp.local.port
  udp.answered()
  const next = await rebind()
  assert.deepEqual(await answerTo(broker, home), { text: 'hello', port: next })
})

test('a port at which the broker never answered is left after a while', async (t) => {
  const { rebind, pass, waiting } = await scene(t)
  await rebind()
  assert.equal(waiting(), 1)
  pass()
  assert.equal(waiting(), 0)
})
