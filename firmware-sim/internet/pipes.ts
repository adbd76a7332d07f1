import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'
import type { Host } from '#sim/internet/host.ts'
import type { Packet } from '#sim/internet/packet.ts'
import { isIpv6 } from '#sim/internet/packet.ts'
import { Pipe } from '#sim/internet/pipe.ts'

const nothing = new Uint8Array(0)

/** The pipes of one host, and the ports on which it takes new ones. */
export class Pipes {
  readonly #host: Host
  readonly #pipes = new Map<string, Pipe>()
  readonly #accept = new Map<number, (pipe: Pipe) => void>()
  #default: ((pipe: Pipe) => void) | undefined

  constructor(host: Host) {
    this.#host = host
    host.onPipe = (packet) => this.#receive(packet)
  }

  /** Without a port: on every one. */
  listen(port: number | undefined, accept: (pipe: Pipe) => void): void {
    if (port === undefined) this.#default = accept
    else this.#accept.set(port, accept)
  }

  /** What comes to this port from now on is refused; open pipes stay. */
  deafen(port: number): void {
    this.#accept.delete(port)
  }

  /** A pipe that is being opened; undefined where the host has no address of the family. */
  open(remote: Endpoint): Pipe | undefined {
    const own = this.#host.addresses.find((address) => isIpv6(address) === isIpv6(remote.address))
    if (own === undefined) return undefined
    return this.#make({ address: own, port: this.#host.freePort() }, remote, 'caller')
  }

  #make(local: Endpoint, remote: Endpoint, side: 'caller' | 'called'): Pipe {
    const key = keyOf(local, remote)
    const pipe = new Pipe(
      {
        world: this.#host.world,
        transmit: (segment, bytes) =>
          this.#host.send({ protocol: 'pipe', to: remote, bytes, segment }, local.port, local.address),
        ended: (ended) => {
          if (this.#pipes.get(key) === ended) this.#pipes.delete(key)
        },
      },
      local,
      remote,
      side,
    )
    this.#pipes.set(key, pipe)
    return pipe
  }

  #receive(packet: Packet): void {
    const { to, from, segment } = packet
    const known = this.#pipes.get(keyOf(to, from))
    if (known !== undefined) known.receive(packet)
    else if (segment?.kind === 'open') this.#called(packet)
    else if (segment?.kind === 'data') this.#refuse(packet)
  }

  #called(packet: Packet): void {
    const accept = this.#accept.get(packet.to.port) ?? this.#default
    if (accept === undefined) {
      this.#refuse(packet)
      return
    }
    const pipe = this.#make(packet.to, packet.from, 'called')
    accept(pipe)
    pipe.receive(packet)
  }

  #refuse({ to, from }: Packet): void {
    const segment = { kind: 'refused', sequence: 0, expected: 0 } as const
    this.#host.send({ protocol: 'pipe', to: from, bytes: nothing, segment }, to.port, to.address)
  }
}

const keyOf = (local: Endpoint, remote: Endpoint): string => `${endpointText(local)} ${endpointText(remote)}`
