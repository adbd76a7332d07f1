import type { StunResponder } from '#broker/gateway/stun-responder.ts'
import { AditError } from '#shared/errors.ts'
import { isLocalAddress, sourceAddress } from '#shared/platform/local-address.ts'
import type { Log } from '#shared/platform/log.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Clock } from '#shared/time/instant.ts'
import { classify } from '#shared/wire/demux.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'
import type { BindingReply } from '#shared/wire/stun-answer.ts'
import { type StunCorner, StunSquare } from './stun-square.ts'

export interface StunSocketsOptions {
  /** Where the tunnels' port is bound; no address: all of both families. */
  readonly bind: { readonly address?: string; readonly port: number }
  readonly alternates: readonly Endpoint[]
  readonly responder: StunResponder
  readonly clock: Clock
  readonly log: Log
  /** Sends by the tunnels' port. */
  transmit(datagram: Uint8Array, to: Endpoint): void
  /** What came to the tunnels' port at an alternate address and is no STUN. */
  tunnelled(datagram: Uint8Array, from: Endpoint): void
}

/** Whether the tunnels' port must leave single addresses to the sockets of STUN: it takes all, and some alternate is one of ours. */
export const sharesPort = (bind: { address?: string }, alternates: readonly Endpoint[]): boolean =>
  isEvery(bind.address) && alternates.some(({ address }) => isLocalAddress(address))

/**
 * The sockets beside the tunnels' port that RFC 5780 needs: in each family a second port at the broker's address, and both ports at a
 * second address, where that is this machine's. Each address has a socket of its own, since one that is bound to all of them cannot
 * choose whence it answers. An alternate address that is not ours is another broker: it is named, and answers for itself.
 */
export class StunSockets {
  readonly #options: StunSocketsOptions
  readonly #sockets: UdpSocket[] = []
  readonly #squares = new Map<4 | 6, StunSquare>()

  private constructor(options: StunSocketsOptions) {
    this.#options = options
  }

  /** Throws AditError `port-in-use` or `config-invalid`, and leaves nothing open then. */
  static async open(options: StunSocketsOptions): Promise<StunSockets> {
    const sockets = new StunSockets(options)
    try {
      for (const alternate of options.alternates) await sockets.#openSquare(alternate)
    } catch (error) {
      await sockets.close()
      throw error
    }
    return sockets
  }

  /** The further endpoints that answer STUN, for agents. */
  get endpoints(): string[] {
    return [...this.#squares.values()].map(({ alternate }) => endpointText(alternate))
  }

  /** A STUN message at the tunnels' port. */
  asked(datagram: Uint8Array, from: Endpoint): void {
    this.#answer(datagram, from, this.#squares.get(familyOf(from.address)), 0)
  }

  async close(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => socket.close()))
  }

  #answer(datagram: Uint8Array, from: Endpoint, square: StunSquare | undefined, corner: StunCorner): void {
    const { responder, clock } = this.#options
    const reply = responder.answer(datagram, from, clock.now(), square?.seat(corner))
    if (reply) this.#send(reply, square, corner)
  }

  #send({ datagram, to, change }: BindingReply, square: StunSquare | undefined, corner: StunCorner): void {
    const socket = square?.socket(corner, change)
    if (socket) socket.send(datagram, to)
    else this.#options.transmit(datagram, to)
  }

  async #openSquare(alternate: Endpoint): Promise<void> {
    const { bind, log } = this.#options
    const family = familyOf(alternate.address)
    const primary = { address: await this.#primaryAddress(family, alternate), port: bind.port }
    if (alternate.port === primary.port) throw samePort(alternate)
    if (this.#squares.has(family)) throw twice(alternate)
    const square = new StunSquare(primary, alternate)
    this.#squares.set(family, square)
    const second = await this.#bind(square, 1, { ...primary, port: alternate.port })
    square.setAlternatePort(second.local.port)
    if (square.hasOtherAddress && isLocalAddress(alternate.address)) {
      await this.#bind(square, 2, { address: alternate.address, port: primary.port })
      await this.#bind(square, 3, square.alternate)
    }
    const said = { at: endpointText(primary), alternate: endpointText(square.alternate) }
    if (square.hasOtherAddress && !square.answersAt(3)) log.warn(said, 'the STUN alternate is no address of this machine')
    else log.debug(said, 'STUN by RFC 5780')
  }

  async #bind(square: StunSquare, corner: StunCorner, { address, port }: Endpoint): Promise<UdpSocket> {
    // The tunnels' port at the second address: what else arrives there is theirs, where they take all addresses.
    const shared = corner === 2 && isEvery(this.#options.bind.address)
    const onDatagram = (datagram: Uint8Array, from: Endpoint): void => {
      if (classify(datagram) === 'stun') this.#answer(datagram, from, square, corner)
      else if (shared) this.#options.tunnelled(datagram, from)
      else this.#options.responder.refused++
    }
    const socket = await UdpSocket.bind({ address, port, shared, onDatagram })
    this.#sockets.push(socket)
    square.setSocket(corner, socket)
    return socket
  }

  async #primaryAddress(family: 4 | 6, alternate: Endpoint): Promise<string> {
    const { address } = this.#options.bind
    if (!isEvery(address)) {
      if (familyOf(address!) === family) return address!
      throw invalid(
        alternate,
        'is not of the family that the tunnels listen in',
        'Let `listen` name an address of that family, or all.',
      )
    }
    const source = await sourceAddress(family)
    if (source !== undefined) return source
    throw invalid(alternate, 'has no fellow: this machine has no other address of its family', 'Leave it out.')
  }
}

const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4)

const isEvery = (address: string | undefined): boolean => address === undefined || address === '::' || address === '0.0.0.0'

const invalid = (alternate: Endpoint, problem: string, mend: string): AditError =>
  new AditError('config-invalid', `The STUN alternate ${endpointText(alternate)} ${problem}.`, mend)

const samePort = (alternate: Endpoint): AditError =>
  invalid(alternate, 'has the port of the tunnels', 'Give it another port: RFC 5780 needs two of them.')

const twice = (alternate: Endpoint): AditError =>
  invalid(alternate, 'is the second of its family', 'Name one for IPv4 and one for IPv6.')
