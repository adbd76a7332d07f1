import { fromHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { FlowFilter, forever } from '#shared/dataplane/flow-filter.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { PacketEngine } from '#shared/platform/packet-engine.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { Association, Endpoint } from '#shared/tunnel/association.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { seen } from '#test/lab/seen.ts'
import { ipPacket, udp } from '#test/shared/dataplane/packets.ts'

let stamps = BigInt(Date.now())

/** An end of an engine that is measured: on the portable engine, in the process of the figure itself. */
export class Member {
  readonly address: string
  readonly association: Association
  readonly #engine: PacketEngine
  #came: (packet: Uint8Array) => void = () => undefined

  private constructor(engine: PacketEngine, association: Association, address: string) {
    this.#engine = engine
    this.association = association
    this.address = address
    engine.plane.setLocal([address])
    engine.plane.routes.insert('10.0.0.0/8', association)
  }

  /** Resolves when it has a session with `hub`, and has spoken in it. */
  static async join(t: { after(step: () => unknown): void }, key: KeyPair, address: string, hub: Hub): Promise<Member> {
    let member: Member | undefined
    const engine = await PacketEngine.open({
      clock: systemClock,
      timers: systemTimers,
      bind: { address: '127.0.0.1', port: 0 },
      noise: (ports) =>
        new WireguardEndpoint({ suite: nativeSuite, staticKey: key, ports, nextTimestamp: () => tai64n(++stamps) }),
      filter: new FlowFilter({ permit: () => forever }, 1),
      event: () => undefined,
      ports: { deliver: (packet) => member?.take(packet) },
    })
    t.after(() => engine.close())
    const { endpoint } = hub
    const peer = { publicKey: fromHex(hub.publicKey), endpoint, firstContact: true }
    const association = (engine.plane.noise as WireguardEndpoint).addPeer(peer, systemClock.now())
    member = new Member(engine, association, address)
    engine.kick()
    await seen(
      () => association.state,
      (state) => state === 'established',
      { timeoutMs: 10_000, everyMs: 10, otherwise: (state) => `no session with the hub: ${state}` },
    )
    return member
  }

  /** An inner packet has come. */
  take(packet: Uint8Array): void {
    this.#came(packet)
  }

  /** Whatever UDP comes is sent back to whom it came from. */
  echo(): void {
    this.#came = (packet) => {
      const body = packet.slice(20)
      body.set(packet.subarray(22, 24), 0)
      body.set(packet.subarray(20, 22), 2)
      this.#engine.send(ipPacket({ from: this.address, to: packet.subarray(12, 16).join('.'), body }))
    }
  }

  /** Milliseconds until one packet of UDP has come back; undefined where it did not in a second. */
  roundTrip(to: string): Promise<number | undefined> {
    const packet = ipPacket({ from: this.address, to, body: udp(4_000, 5_000, new Uint8Array(64)) })
    return new Promise((resolve) => {
      const began = performance.now()
      const patience = setTimeout(() => resolve(undefined), 1_000)
      this.#came = () => {
        clearTimeout(patience)
        resolve(performance.now() - began)
      }
      this.#engine.send(packet)
    })
  }
}

interface Hub {
  readonly endpoint: Endpoint
  /** Hex. */
  readonly publicKey: string
}
