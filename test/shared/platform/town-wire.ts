import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { copyEndpoint } from '#shared/wire/endpoint.ts'

/** The way between a member and the hub: two UDP sockets, and a memory of all that has passed. */
export class Wire {
  readonly up: Uint8Array[] = []
  readonly down: Uint8Array[] = []
  readonly #inner: Socket
  #outer: Socket
  readonly #hub: Endpoint
  #member: Endpoint | undefined

  private constructor(hub: Endpoint, inner: Socket, outer: Socket) {
    this.#hub = hub
    this.#inner = inner
    this.#outer = outer
    inner.on('message', (datagram, from) => {
      this.#member = { address: from.address, port: from.port }
      this.up.push(Uint8Array.from(datagram))
      this.inject(datagram)
    })
    this.#listen()
  }

  static async open(hub: Endpoint): Promise<Wire> {
    return new Wire(copyEndpoint(hub), await bound(hub.address), await bound(hub.address))
  }

  /** Where the member takes the hub to be. */
  get door(): Endpoint {
    return { address: this.#hub.address, port: this.#inner.address().port }
  }

  /** Where the hub sees the member. */
  get port(): number {
    return this.#outer.address().port
  }

  /** Says something to the hub from the member's place. */
  inject(datagram: Uint8Array): void {
    this.#outer.send(datagram, this.#hub.port, this.#hub.address)
  }

  /** The member's place is another one from now on. */
  async move(): Promise<void> {
    const former = this.#outer
    this.#outer = await bound(this.#hub.address)
    this.#listen()
    former.close()
  }

  async close(): Promise<void> {
    this.#inner.close()
    this.#outer.close()
  }

  #listen(): void {
    this.#outer.on('message', (datagram) => {
      this.down.push(Uint8Array.from(datagram))
      const member = this.#member
      if (member !== undefined) this.#inner.send(datagram, member.port, member.address)
    })
  }
}

/** A UDP socket of this machine. */
export async function bound(address: string): Promise<Socket> {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4' })
  socket.bind(0, address)
  await once(socket, 'listening')
  socket.setRecvBufferSize(1 << 20)
  return socket
}
