import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { FlowFilter, forever } from '#shared/dataplane/flow-filter.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import type { Netstack } from '#shared/netstack/netstack.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { laneOfPeer } from '#shared/platform/linux-engine/steering.ts'
import { PacketEngine } from '#shared/platform/packet-engine.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { Instant } from '#shared/time/instant.ts'
import type { Association, PeerEndpoint } from '#shared/tunnel/association.ts'
import type { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { carriedBy } from '#shared/wire/endpoint.ts'
import type { Town } from './engine-town.ts'
import { childPolicy, espEndpoint, HUB_ID, HUB_KEY } from './town-esp.ts'
import { HUB6, netstackOn, until, WHOLE } from './town-netstack.ts'
import { Wire } from './town-wire.ts'

export interface MemberOptions {
  /** Its datagrams are carried, as by a WebSocket. */
  readonly carried?: boolean
}

/** One end, always on the portable engine. */
export class Member {
  readonly number: number
  readonly v4: string
  readonly v6: string
  readonly id: string
  readonly key: KeyPair
  /** Inner packets that came here. */
  readonly received: Uint8Array[] = []
  wire!: Wire
  engine!: PacketEngine
  endpoint!: PeerEndpoint
  association!: Association
  netstack!: Netstack
  readonly #town: Town

  constructor(town: Town, number: number) {
    this.#town = town
    this.number = number
    this.v4 = `10.77.0.${number}`
    this.v6 = `fd77::${number}`
    this.id = `member-${number}.example`
    // Members take turns among the hub's lanes.
    const lanes = Math.max(1, town.options.lanes)
    do this.key = nativeSuite.x25519.generate()
    while (town.options.suite === 'noise' && laneOfPeer(this.peerKey, lanes) !== number % lanes)
  }

  get addresses(): string[] {
    return [this.v4, this.v6]
  }

  get peerKey(): string {
    return this.#town.options.suite === 'noise' ? toHex(this.key.publicKey) : String(this.number).padStart(64, '0')
  }

  /** The hub's association with this member. */
  get atHub(): Association {
    return this.#town.endpoint.association(this.peerKey)!
  }

  get now(): Instant {
    return systemClock.now()
  }

  async open({ carried = false }: MemberOptions): Promise<void> {
    const town = this.#town
    const { suite, lifetime = {}, outer = '127.0.0.1' } = town.options
    this.wire = await Wire.open(town.local)
    const way = carriedBy('websocket', this.number)
    const hub = carried ? carriedBy('websocket', 1) : this.wire.door
    if (carried) town.carriers.set(way.address, (datagram) => setImmediate(() => this.engine.receive(datagram, hub)))
    const isEsp = suite === 'esp'
    const noise = (ports: EspPorts) =>
      new WireguardEndpoint({ suite: nativeSuite, staticKey: this.key, ports, nextTimestamp: town.nextTimestamp })
    const child = childPolicy(this.addresses, WHOLE, lifetime)
    const esp = (ports: EspPorts) =>
      espEndpoint(nativeSuite, this.id, ports, undefined, () => ({
        peerKey: HUB_KEY,
        name: HUB_ID,
        child,
        virtualAddresses: [],
        dns: [],
      }))
    this.engine = await PacketEngine.open({
      clock: systemClock,
      timers: systemTimers,
      bind: { address: outer, port: 0 },
      filter: new FlowFilter({ permit: () => forever }, 1),
      event: () => undefined,
      noise,
      ...(isEsp && { esp }),
      carried: {
        send: (datagram) => {
          const copy = datagram.slice()
          setImmediate(() => town.engine.receive(copy, way))
          return true
        },
      },
      ports: {
        deliver: (packet) => {
          this.received.push(packet.slice())
          this.netstack.input(packet)
        },
      },
    })
    this.netstack = netstackOn(this.engine, this.addresses)
    // Nobody answers datagrams between these by an error.
    for (const port of [4_000, 4_001]) this.netstack.bindUdp({ port }, () => undefined)
    const { plane } = this.engine
    plane.setLocal(this.addresses)
    if (isEsp) {
      const endpoint = plane.esp as EspEndpoint
      const initiation = { expectedId: parseId(HUB_ID), child }
      this.endpoint = endpoint
      this.association = endpoint.addPeer({ peerKey: HUB_KEY, endpoint: hub, initiation, firstContact: true }, this.now)
    } else {
      const endpoint = plane.noise as WireguardEndpoint
      this.endpoint = endpoint
      this.association = endpoint.addPeer({ publicKey: town.key.publicKey, endpoint: hub, firstContact: true }, this.now)
    }
    for (const prefix of WHOLE) plane.routes.insert(prefix, this.association)
    this.engine.kick()
    await until(() => this.association.state === 'established' && this.atHub?.state === 'established', `${this.id} is in`)
    // The hub may speak first only when it has heard one packet of the session.
    await until(async () => (await this.netstack.ping(HUB6)) !== undefined, `${this.id} reaches the hub`)
  }

  /** An inner packet leaves as it is. */
  send(packet: Uint8Array): number {
    return this.engine.send(packet)
  }

  async close(): Promise<void> {
    this.netstack?.destroy()
    this.#town.forget(this)
    await this.engine?.close()
    await this.wire?.close()
  }
}
