import assert from 'node:assert/strict'
import test from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { sameEndpoint } from '#shared/wire/endpoint.ts'
import { agentAt, brokerAt, configFor, VirtualAgent, VirtualBroker, World } from '#test/agent/core/virtual-world.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'

const histories = 40
/** When a broker calls the devices that it knew, after its start at most or so much later (`broker/gateway/reawakening.ts`), ms. */
const calls = { within: 200, again: [5_000, 10_000] }
/** A broker that is away for longer than it takes to judge a path finds some of its agents asking already. */
const awayMs = { least: 700, most: 9_000 }
/** Who calls has forgotten that after 5 s (REKEY-TIMEOUT): an answer that is late by so much is worth nothing. */
const lateMs = { least: 5_000, most: 15_000 }
const RESPONSE = 2

/** A device that holds one stream to its broker as its uplink does, and a broker that loses its memory, but for what it has on disk. */
class Town {
  readonly world: World
  readonly agent: VirtualAgent
  readonly dice: () => number
  #broker: VirtualBroker
  /** Streams that the broker of the moment knows. */
  #known = new Set<TcpSocket>()
  #stream: TcpSocket | undefined
  #connectAt = Number.POSITIVE_INFINITY
  #callsAt: number[] = []
  #place: Endpoint = agentAt
  #events = 0
  /** What becomes of the device's answers to calls, each as the dice say, and those that are on their way still. */
  answers: 'timely' | 'lost or late' = 'timely'
  #late: { at: number; datagram: Uint8Array; from: Endpoint }[] = []

  constructor(seed: number) {
    this.dice = seeded(seed)
    this.world = new World(seed)
    this.agent = new VirtualAgent(this.world, agentAt, seed + 5)
    const known = new Map([[toHex(this.agent.key.publicKey), undefined]])
    this.#broker = this.#listening(new VirtualBroker(this.world, brokerAt, undefined, known))
    this.agent.core.configure(configFor(this.#broker), [brokerAt])
    this.world.filter = (datagram, from, to) => {
      const passes = this.answers === 'timely' || datagram[0] !== RESPONSE || !sameEndpoint(to, brokerAt)
      if (!passes && this.dice() < 0.5) this.#detain(datagram, from)
      return passes
    }
  }

  /** Whether the broker will call nobody any more. */
  get hasCalled(): boolean {
    return this.#callsAt.length === 0
  }

  /** Both ends have it. */
  get isWhole(): boolean {
    return this.#stream !== undefined && !this.#stream.connecting && this.#known.size > 0
  }

  async pass(ms: number, until: () => boolean = () => false): Promise<boolean> {
    for (const end = this.world.now() + ms; this.world.now() < end && !until(); ) {
      this.world.run(20)
      this.#deliverLate()
      this.#heed()
      const { endpoint, state } = this.#broker.association(this.agent) ?? {}
      if (endpoint !== undefined && state === 'established') this.#place = endpoint
      await new Promise((resolve) => setImmediate(resolve))
    }
    return until()
  }

  async restart(): Promise<void> {
    this.world.remove(brokerAt)
    this.#callsAt = []
    const { key, known } = this.#broker
    await this.pass(awayMs.least + this.dice() * (awayMs.most - awayMs.least))
    this.#broker = this.#listening(new VirtualBroker(this.world, brokerAt, key, known))
    const first = this.world.now() + this.dice() * calls.within
    this.#callsAt = [first, ...calls.again.map((later) => first + later)]
  }

  #listening(broker: VirtualBroker): VirtualBroker {
    const known = new Set<TcpSocket>()
    this.#known = known
    broker.netstack.listen({ port: 1883 }, (socket) => {
      known.add(socket.on('error', () => {}).on('close', () => known.delete(socket)))
      socket.resume()
    })
    return broker
  }

  #detain(datagram: Uint8Array, from: Endpoint): void {
    const at = this.world.now() + lateMs.least + this.dice() * (lateMs.most - lateMs.least)
    this.#late.push({ at, datagram: datagram.slice(), from })
  }

  #deliverLate(): void {
    const due = this.#late.filter(({ at }) => at <= this.world.now())
    this.#late = this.#late.filter((one) => !due.includes(one))
    for (const { datagram, from } of due) this.world.deliver(brokerAt, datagram, from)
  }

  #heed(): void {
    const now = this.world.now()
    for (const { kind } of this.agent.events.slice(this.#events)) {
      if (kind !== 'up' && kind !== 'connecting') continue
      this.#stream?.removeAllListeners('close').destroy()
      this.#stream = undefined
      this.#connectAt = kind === 'up' ? now : Number.POSITIVE_INFINITY
    }
    this.#events = this.agent.events.length
    if (now >= this.#connectAt && this.agent.isUp) this.#connect()
    if (now < (this.#callsAt[0] ?? Number.POSITIVE_INFINITY)) return
    this.#callsAt.shift()
    this.#call()
  }

  #connect(): void {
    this.#connectAt = Number.POSITIVE_INFINITY
    this.#stream = this.agent.core.netstack.connect({ address: 'fd00:adad::1', port: 1883 })
    this.#stream
      .on('error', () => {})
      .on('close', () => {
        this.#stream = undefined
        this.#connectAt = this.world.now() + 500 + this.dice() * 1_500
      })
    this.#stream.resume()
    this.#stream.write(new Uint8Array(40))
  }

  #call(): void {
    const { endpoint } = this.#broker
    const lastTimestamp = this.#broker.known.get(toHex(this.agent.key.publicKey))
    const known = this.#broker.association(this.agent)
    const { publicKey } = this.agent.key
    const association = known ?? endpoint.addPeer({ publicKey, endpoint: this.#place, lastTimestamp }, this.world.now())
    if (association.state === 'idle') endpoint.call(association, this.world.now())
  }

  close(): void {
    this.agent.core.stop()
    this.#broker.netstack.destroy()
  }
}

test(`over ${histories} seeded histories of a broker that is killed twice, an idle stream is known to the broker that runs 15 s later`, async () => {
  for (let seed = 1; seed <= histories; seed++) {
    const town = new Town(seed)
    assert.ok(await town.pass(3_000, () => town.isWhole))
    await town.pass(town.dice() * 20_000)
    await town.restart()
    await town.pass(town.dice() * 6_000)
    await town.restart()
    assert.ok(await town.pass(15_000, () => town.isWhole), `seed ${seed}`)
    // What was whole stays so: no question of either end's ends it.
    await town.pass(10_000)
    assert.ok(town.isWhole, `seed ${seed}`)
    town.close()
  }
})

test(`over ${histories} seeded histories in which all answers to the broker's calls are lost or late, an idle stream is known 15 s after the last call`, async () => {
  for (let seed = 1; seed <= histories; seed++) {
    const town = new Town(seed)
    assert.ok(await town.pass(3_000, () => town.isWhole))
    await town.pass(town.dice() * 20_000)
    town.answers = 'lost or late'
    await town.restart()
    await town.pass(12_000, () => town.hasCalled)
    assert.ok(await town.pass(15_000, () => town.isWhole), `seed ${seed}`)
    await town.pass(10_000)
    assert.ok(town.isWhole, `seed ${seed}`)
    town.close()
  }
})
