import type { AgentConfig } from '#agent/core/agent-config.ts'
import { StunResponder } from '#broker/gateway/stun-responder.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { DataPlane } from '#shared/dataplane/data-plane.ts'
import { FlowFilter, forever } from '#shared/dataplane/flow-filter.ts'
import { soonest } from '#shared/machine.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { TimestampFloor } from '#shared/tunnel/tai64n.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { carriedBy, type Endpoint, endpointText, isCarried } from '#shared/wire/endpoint.ts'
import type { AgentHost } from '#sim/internet/agent-host.ts'
import { FramedPipe } from '#sim/internet/framed-pipe.ts'
import type { Host, UdpSocket } from '#sim/internet/host.ts'
import { Pipes } from '#sim/internet/pipes.ts'
import type { Actor } from '#sim/internet/world.ts'
import { seededSuite } from '#test/shared/tunnel/virtual-link.ts'

export const tunnelPort = 4_500
const streamPort = 443
const innerAddresses = ['fd00:adad::1', '100.64.0.1']

/**
 * A broker's gateway on the simulated internet, from its pure parts: the WireGuard endpoint, the data plane with its relay and filter, the
 * STUN responder and a netstack behind the inner addresses. Who is known and what is permitted is the test's to say.
 */
export class BrokerHost implements Actor {
  due: Instant
  slot = -1
  readonly host: Host
  readonly suite = seededSuite(77)
  readonly key = this.suite.x25519.generate()
  readonly plane: DataPlane
  readonly endpoint: WireguardEndpoint
  readonly netstack: Netstack
  /** Inner packets that came from an association which does not own their source. */
  spoofed = 0
  readonly #stun = new StunResponder()
  /** By hex of the tunnel key: inner addresses, and the greatest timestamp taken. */
  readonly #known = new Map<string, { inner: readonly string[]; lastTimestamp: Uint8Array | undefined }>()
  readonly #spokenTo = new Map<string, string>()
  readonly #streams = new Map<string, FramedPipe>()
  #socket: UdpSocket
  #carried = 0

  constructor(host: Host) {
    const { world } = host
    this.host = host
    this.due = world.now()
    const timestamps = new TimestampFloor({ wall: () => world.wall(), reserve: () => {} })
    this.endpoint = new WireguardEndpoint({
      suite: this.suite,
      staticKey: this.key,
      nextTimestamp: () => timestamps.next(),
      admit: (publicKey) => this.#known.get(toHex(publicKey)),
      ports: {
        transmit: (datagram, to) => this.#transmit(datagram, to),
        event: (event) => {
          const association = event.association as WireguardAssociation
          if (event.kind === 'timestamp') this.#took(association)
          if (event.kind === 'established') this.#route(association)
        },
      },
    })
    this.plane = new DataPlane({
      noise: this.endpoint,
      filter: new FlowFilter({ permit: () => forever }, 1),
      ports: {
        transmit: (datagram, to) => this.#transmit(datagram, to),
        deliver: (packet) => this.netstack.input(packet),
        stun: (datagram, from, now) => {
          const reply = this.#stun.answer(datagram, from, now)
          if (reply) this.#transmit(reply.datagram, from)
        },
        spoofed: () => {
          this.spoofed++
        },
      },
    })
    this.plane.setLocal(innerAddresses)
    this.netstack = new Netstack({
      suite: this.suite,
      clock: world,
      addresses: innerAddresses,
      transmit: (packet) => void this.plane.send(packet, world.now()),
      wake: () => this.#arm(),
    })
    this.#socket = this.#bind()
    new Pipes(host).listen(streamPort, (pipe) => this.#accept(new FramedPipe(pipe)))
  }

  /** Admits an agent, and gives it its configuration. */
  admit(agent: AgentHost, { name, role, inner }: { name: string; role: AgentConfig['role']; inner: readonly string[] }): void {
    this.#known.set(toHex(agent.key.publicKey), { inner, lastTimestamp: undefined })
    const endpoints = this.host.addresses.map((address) => ({ address, port: tunnelPort }))
    const config: AgentConfig = {
      name,
      role,
      id: name,
      fleet: { prefix: 'fd00:adad::/48' },
      broker: {
        tunnelKey: Buffer.from(this.key.publicKey).toString('base64'),
        endpoints: endpoints.map(endpointText),
        inner: innerAddresses,
        mqttPort: 1_883,
      },
      inner: { addresses: inner, mtu: 1_280 },
      keepaliveSeconds: 25,
      time: 0,
      certificate: { notAfter: 0 },
      routes: ['fd00:adad::/48', '100.64.0.0/10'],
    }
    agent.core.configure(config, [...endpoints, ...agent.carried])
  }

  /** Places at which it takes WebSockets. */
  get streams(): Endpoint[] {
    return this.host.addresses.map((address) => ({ address, port: streamPort }))
  }

  association(agent: AgentHost): WireguardAssociation | undefined {
    return this.endpoint.association(toHex(agent.key.publicKey))
  }

  /** Its machine falls silent, or comes back. */
  set isDead(dead: boolean) {
    this.host.onSend = () => !dead
    if (dead) this.#socket.close()
    else this.#socket = this.#bind()
  }

  act(now: Instant): void {
    this.endpoint.expire(now)
    this.netstack.expire(now)
    this.#arm()
  }

  #bind(): UdpSocket {
    const socket = this.host.bind(tunnelPort)
    socket.onDatagram = (datagram, from, to) => {
      this.#spokenTo.set(endpointText(from), to.address)
      this.#receive(datagram, from)
    }
    return socket
  }

  #receive(datagram: Uint8Array, from: Endpoint): void {
    this.plane.receive(datagram, from, this.host.world.now())
    this.#arm()
  }

  #accept(stream: FramedPipe): void {
    const from = carriedBy('websocket', ++this.#carried)
    this.#streams.set(endpointText(from), stream)
    stream.onDatagram = (datagram) => this.#receive(datagram, from)
    stream.pipe.onEnd = () => this.#streams.delete(endpointText(from))
  }

  /** From the address that the other end spoke to. */
  #transmit(datagram: Uint8Array, to: Endpoint): boolean {
    const name = endpointText(to)
    if (isCarried(to)) this.#streams.get(name)?.send(datagram)
    else this.#socket.send(datagram, to, this.#spokenTo.get(name))
    return true
  }

  #took(association: WireguardAssociation): void {
    const known = this.#known.get(association.peerKey)
    if (known) known.lastTimestamp = association.lastTimestamp
  }

  #route(association: Association): void {
    for (const address of this.#known.get(association.peerKey)?.inner ?? []) this.plane.routes.insert(address, association)
  }

  #arm(): void {
    const deadline = soonest(this.endpoint.deadline(), this.netstack.deadline())
    if (deadline) this.host.world.schedule(this, deadline.at)
  }
}
