import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { forever, refused } from '#shared/dataplane/flow-filter.ts'
import { Netstack, type TcpSocket } from '#shared/netstack/netstack.ts'
import { type Instant, instant, wallTime } from '#shared/time/instant.ts'
import { type Client, Hub } from '#test/shared/dataplane/hub.ts'

/** An operator's and a device's whole TCP, joined by a hub that permits what `permits` says of a port. */
class Scene {
  readonly hub: Hub
  readonly ann: Host
  readonly pi: Host
  permits = (_port: number): boolean => true

  constructor(annAt: string, piAt: string) {
    this.hub = new Hub({ permit: (packet) => (this.permits(packet.destinationPort) ? forever : refused) })
    this.ann = new Host(this.hub, annAt)
    this.pi = new Host(this.hub, piAt)
  }

  /** Carries packets until both are quiet. */
  run(): void {
    for (let busy = true; busy; ) {
      busy = this.ann.step()
      busy = this.pi.step() || busy
    }
  }

  /** Time passes for both, delayed acknowledgements and retransmissions included. */
  pass(ms: number): void {
    this.hub.now = instant(this.hub.now + ms)
    for (const { stack } of [this.ann, this.pi]) stack.expire(this.hub.now)
    this.run()
  }
}

class Host {
  readonly stack: Netstack
  readonly #client: Client
  readonly #hub: Hub
  readonly #outgoing: Uint8Array[] = []

  constructor(hub: Hub, address: string) {
    this.#hub = hub
    this.#client = hub.join(address)
    const clock = { now: (): Instant => hub.now, wall: () => wallTime(0) }
    const transmit = (packet: Uint8Array): void => void this.#outgoing.push(packet.slice())
    this.stack = new Netstack({ suite: nativeSuite, clock, addresses: [address], transmit })
  }

  get association() {
    return this.#client.association
  }

  step(): boolean {
    const packet = this.#outgoing.shift()
    if (packet) this.#hub.arrive(this.#client.seal(packet), this.#client.at)
    const received = this.#client.received.shift()
    if (received) this.stack.input(received)
    return packet !== undefined || received !== undefined
  }
}

/** The code of the error that a socket ends with. */
function fate(socket: TcpSocket): { code: string | undefined } {
  const told: { code: string | undefined } = { code: undefined }
  socket.on('error', (error: NodeJS.ErrnoException) => {
    told.code = error.code
  })
  socket.resume()
  return told
}

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

for (const [family, annAt, piAt] of [
  ['IPv4', '100.64.0.2', '100.64.0.3'],
  ['IPv6', 'fd00::2', 'fd00::3'],
] as const) {
  async function established(withData: boolean) {
    const scene = new Scene(annAt, piAt)
    let accepted: { code: string | undefined } | undefined
    scene.pi.stack.listen({ port: 22 }, (socket) => {
      accepted = fate(socket)
      if (withData) socket.write(Buffer.alloc(700))
    })
    const socket = scene.ann.stack.connect({ address: piAt, port: 22 })
    const opened = fate(socket)
    scene.run()
    await soon()
    assert.equal(socket.connecting, false)
    return { scene, socket, opened, accepted: accepted! }
  }

  for (const withData of [false, true])
    test(`${family}: a revoked flow ends at both ends at once${withData ? ', with an acknowledgement still owed' : ''}`, async () => {
      const { scene, opened, accepted } = await established(withData)
      assert.equal(
        scene.hub.plane.revoke(() => true, scene.hub.now),
        1,
      )
      scene.run()
      await soon()
      assert.deepEqual([opened.code, accepted.code], ['ECONNRESET', 'ECONNRESET'])
    })

  test(`${family}: an end whose peer is detached is told`, async () => {
    const { scene, opened } = await established(true)
    scene.hub.plane.detach(scene.pi.association, scene.hub.now)
    scene.run()
    await soon()
    assert.equal(opened.code, 'ECONNRESET')
  })

  test(`${family}: a port that the policy refuses is refused at once, not after a minute`, async () => {
    const scene = new Scene(annAt, piAt)
    scene.permits = (port) => port !== 23
    const told = fate(scene.ann.stack.connect({ address: piAt, port: 23 }))
    scene.run()
    await soon()
    assert.equal(told.code, 'ECONNREFUSED')
  })

  test(`${family}: what is sent in a flow that is no longer permitted is answered by a reset that is taken`, async () => {
    const { scene, socket, opened } = await established(false)
    scene.hub.plane.filter.revoke(() => true)
    scene.permits = () => false
    socket.write('typed')
    scene.run()
    await soon()
    scene.pass(300)
    await soon()
    assert.equal(opened.code, 'ECONNRESET')
  })
}
