import { directTarget } from '#agent/core/direct/direct-target.ts'
import { StatementLedger } from '#shared/fleet/statement-ledger.ts'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { milliseconds } from '#shared/time/instant.ts'
import { AgentHost } from '#sim/internet/agent-host.ts'
import type { Host } from '#sim/internet/host.ts'
import type { World } from '#sim/internet/world.ts'
import { fleet, fleetKey, statementsFor } from '#test/agent/core/direct/direct-world.ts'
import { BrokerHost } from '#test/firmware-sim/internet/broker-host.ts'
import { seededSuite } from '#test/shared/tunnel/virtual-link.ts'

const inner = { pi: 'fd00:adad::99', ann: 'fd00:adad::77' }

/** A device and an operator with real cores, and their broker, each at its place on the simulated internet. */
export class Meeting {
  readonly world: World
  readonly broker: BrokerHost
  readonly pi: AgentHost
  readonly ann: AgentHost
  readonly #ledger: StatementLedger

  constructor(hosts: { broker: Host; pi: Host; ann: Host }, seed = 1) {
    this.world = hosts.broker.world
    this.broker = new BrokerHost(hosts.broker)
    const { streams } = this.broker
    const judging = seededSuite(seed + 3)
    this.#ledger = new StatementLedger({ suite: judging, fleet, time: () => this.world.wall() }, [fleetKey.publicKey])
    const direct = { judge: (bytes: Uint8Array) => this.#ledger.judge(bytes), time: () => this.world.wall() }
    this.pi = new AgentHost(hosts.pi, { suite: seededSuite(seed + 1), streams, direct: { ...direct, role: 'device' } })
    this.ann = new AgentHost(hosts.ann, { suite: seededSuite(seed + 2), streams, direct: { ...direct, role: 'operator' } })
  }

  /** Both become known, and are up within `ms` or not. */
  start(ms = 10_000): boolean {
    this.broker.admit(this.pi, { name: 'pi', role: 'device', inner: [inner.pi] })
    this.broker.admit(this.ann, { name: 'ann', role: 'operator', inner: [inner.ann] })
    return this.run(ms, () => this.pi.isUp && this.ann.isUp)
  }

  run(ms: number, until?: () => boolean): boolean {
    return this.world.run(milliseconds(ms), until)
  }

  /** The operator seeks the device; what kind of way each uses after `ms`. */
  meet(ms = 3_500): [string | undefined, string | undefined] {
    const [device, operator] = [this.pi, this.ann].map(({ key }, at) => ({ key, inner: at === 0 ? inner.pi : inner.ann }))
    const statements = statementsFor(this.world, device!, operator!)
    const judge = (bytes: Uint8Array) => this.#ledger.judge(bytes)
    this.ann.core.direct!.seek(directTarget('pi', statements, { own: this.ann.key.publicKey, judge }))
    this.run(ms)
    return this.ways
  }

  /** The kinds of way that the operator and the device use towards each other. */
  get ways(): [string | undefined, string | undefined] {
    return [wayOf(this.ann, 'pi'), wayOf(this.pi, 'ann')]
  }

  /** Numbered bytes from the device to the operator, until `bytes` of them have come or `ms` have passed. */
  async copy(bytes: number, ms: number, meanwhile: (received: number) => void = () => {}): Promise<Copy> {
    const copy = new Copy(this, bytes)
    const end = this.world.now() + ms
    while (copy.received < bytes && !copy.closed && this.world.now() < end) {
      meanwhile(copy.received)
      this.run(20)
      copy.look(this.world.now())
      await new Promise((resolve) => setImmediate(resolve))
    }
    copy.end()
    return copy
  }

  /** Echoes that the operator hears of the device through the tunnel, ms; undefined for a lost one. */
  async ping(count: number, { bytes = 56, every = 100, timeoutMs = 1_000 } = {}): Promise<(number | undefined)[]> {
    const answers: (number | undefined)[] = []
    for (let i = 0; i < count; i++) {
      void this.ann.core.netstack.ping(inner.pi, { bytes, timeoutMs }).then((trip) => {
        answers[i] = trip
      })
      this.run(every)
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.run(timeoutMs)
    await new Promise((resolve) => setImmediate(resolve))
    return Array.from({ length: count }, (_, i) => answers[i])
  }
}

const wayOf = ({ core }: AgentHost, name: string): string | undefined => {
  const status = core.direct?.status(name)
  return status?.state === 'established' ? status.path.kind : undefined
}

export class Copy {
  received = 0
  wrong = 0
  closed = false
  /** The longest time without a byte, ms. */
  longestGap = 0
  readonly #socket: TcpSocket
  readonly #listener: { close(): void }
  #last: { at: number; received: number } | undefined

  constructor({ pi, ann }: Meeting, bytes: number) {
    this.#listener = pi.core.netstack.listen({ port: 22, allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      let at = 0
      const pump = (): void => {
        while (at < bytes && !socket.destroyed) {
          const chunk = Uint8Array.from({ length: Math.min(4_096, bytes - at) }, (_, i) => (at + i) % 251)
          at += chunk.length
          if (!socket.write(chunk)) return void socket.once('drain', pump)
        }
      }
      pump()
    })
    this.#socket = ann.core.netstack.connect({ address: inner.pi, port: 22, allowHalfOpen: true })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.closed = true
    })
    this.#socket.on('data', (chunk: Uint8Array) => {
      for (const byte of chunk) if (byte !== this.received++ % 251) this.wrong++
    })
  }

  end(): void {
    this.#socket.destroy()
    this.#listener.close()
  }

  look(at: number): void {
    if (this.#last === undefined || this.#last.received < this.received) this.#last = { at, received: this.received }
    else this.longestGap = Math.max(this.longestGap, at - this.#last.at)
  }
}
