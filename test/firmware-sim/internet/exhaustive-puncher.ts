import { milliseconds, seconds } from '#shared/time/instant.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'
import { TRANSACTION_ID_LENGTH } from '#shared/wire/stun.ts'
import { answerBinding } from '#shared/wire/stun-answer.ts'
import { encodeBindingRequest, readBindingAnswer } from '#shared/wire/stun-binding.ts'
import type { UdpSocket } from '#sim/internet/host.ts'
import { type BuiltEnd, type BuiltNetwork, buildNetwork, type NetworkPlan } from '#sim/internet/topology.ts'

const stunPort = 3_478
const rounds = 10
const roundEvery = 150

/** What an end of a network can tell the other about where it is. */
export interface Place {
  readonly socket: UdpSocket
  readonly local: readonly Endpoint[]
  readonly reflexive: readonly Endpoint[]
  readonly mapped: readonly Endpoint[]
}

/** Both ends ask their gateways and the server where they are. What stands between does not matter: some learn nothing. */
export function learnPlaces(network: BuiltNetwork, plan: NetworkPlan): [Place, Place] {
  const { server, internet, ends, decoys } = network
  const stun = server.bind(stunPort)
  stun.onDatagram = (datagram, from, to) => {
    const answer = answerBinding(datagram, from)
    if (answer) stun.send(answer, from, to.address)
  }
  const places = ends.map((end, at) => place(network, end, plan.ends[at]!.mapped)) as [Place, Place]
  internet.world.run(seconds(4))
  for (const decoy of decoys)
    for (const port of new Set(places.map(({ socket }) => socket.port))) {
      const socket = decoy.bind(port)
      socket.onDatagram = (datagram, from) => socket.send(datagram, from)
    }
  return places
}

function place({ server, internet }: BuiltNetwork, { host, site }: BuiltEnd, asks: boolean): Place {
  const { world } = internet
  const socket = host.bind()
  const local = host.addresses.map((address) => ({ address, port: socket.port }))
  const reflexive: Endpoint[] = []
  const mine = local.find(({ address }) => !address.includes(':'))
  const mapping = asks && mine && site?.router.ask(mine)
  const ids = server.addresses.map(() => Uint8Array.from({ length: TRANSACTION_ID_LENGTH }, () => world.random.below(256)))
  const seen = new Set<string>()
  socket.onDatagram = (datagram) => {
    for (const id of ids) {
      const endpoint = readBindingAnswer(datagram, id)
      if (endpoint === undefined || seen.has(endpointText(endpoint))) continue
      seen.add(endpointText(endpoint))
      reflexive.push(endpoint)
    }
  }
  for (const wait of [0, 300, 900, 1_800])
    world.later(milliseconds(wait), () => {
      for (const [at, address] of server.addresses.entries())
        socket.send(encodeBindingRequest(ids[at]!), { address, port: stunPort })
    })
  return { socket, local, reflexive, mapped: mapping ? [mapping] : [] }
}

/** Both send to everything that they know, several times, and answer whatever proves to be the other: is there a way? */
export function punch(plan: NetworkPlan): boolean {
  const network = buildNetwork(plan)
  const places = learnPlaces(network, plan)
  const { world } = network.internet
  const ends = places.map((own, at) => new Puncher(at, own, places[1 - at]!))
  for (let round = 0; round < rounds; round++)
    world.later(milliseconds(1 + round * roundEvery), () => {
      for (const end of ends) end.round()
    })
  world.run(milliseconds(rounds * roundEvery + 1_500))
  return ends.every(({ proven }) => proven)
}

const PING = 1
const PONG = 2

class Puncher {
  proven = false
  readonly #id: number
  readonly #socket: UdpSocket
  readonly #targets: Endpoint[]

  constructor(id: number, { socket }: Place, other: Place) {
    this.#id = id
    this.#socket = socket
    this.#targets = [...other.local, ...other.mapped, ...other.reflexive]
    socket.onDatagram = (datagram, from) => this.#receive(datagram, from)
  }

  round(): void {
    for (const [at, target] of this.#targets.entries()) this.#socket.send(Uint8Array.of(PING, this.#id, at), target)
  }

  #receive([kind, id, at = 0]: Uint8Array, from: Endpoint): void {
    // A neighbour sends back what he hears, and our own address may be the other's as well.
    if (id !== 1 - this.#id) return
    const asked = this.#targets[at]
    if (kind === PONG && asked && endpointText(asked) === endpointText(from)) this.proven = true
    if (kind !== PING) return
    this.#socket.send(Uint8Array.of(PONG, this.#id, at), from)
    if (this.#targets.length < 24 && !this.#targets.some((known) => endpointText(known) === endpointText(from)))
      this.#targets.push(from)
  }
}
