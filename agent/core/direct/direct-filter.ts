import { InnerPacket, PacketKind } from '#shared/dataplane/inner-packet.ts'
import { DropReason } from '#shared/drop-reason.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { parseAddress, sameAddress } from '#shared/wire/ip-address.ts'
import type { OpenPorts } from './direct-access.ts'

/**
 * What may come in by an association with one other end, judged packet by packet, since no broker stands between (DESIGN D14). From an
 * operator: TCP to the ports that its grants open now, and echoes. From a device: TCP of conversations that we began, which is for the
 * netstack to know, and echoes. The source must be an address of the other end's statement (P-30).
 */
export class DirectFilter {
  readonly #sources: readonly Uint8Array[]
  readonly #packet = new InnerPacket()
  /** Undefined: of a device. */
  #ports: readonly OpenPorts[] | undefined

  constructor(addresses: readonly string[], ports: readonly OpenPorts[] | undefined) {
    this.#sources = addresses.map(parseAddress)
    this.#ports = ports
  }

  get ports(): readonly OpenPorts[] | undefined {
    return this.#ports
  }

  /** Other grants count from now on. */
  setPorts(ports: readonly OpenPorts[]): void {
    this.#ports = ports
  }

  /** When the first of the grants ends that still hold. */
  nextEnd(time: WallTime): WallTime | undefined {
    const ends = (this.#ports ?? []).map(({ notAfter }) => notAfter).filter((end) => end > time)
    return ends.length === 0 ? undefined : (Math.min(...ends) as WallTime)
  }

  /** 0, or why the packet goes no further. */
  judge(bytes: Uint8Array, time: WallTime): number {
    const packet = this.#packet
    if (packet.read(bytes, bytes.length) < 0) return DropReason.InnerMalformed
    if (!this.#isFromPeer(bytes, packet)) return DropReason.InnerSourceRefused
    // Both ends cut their TCP to the path: a fragment could only hide its ports.
    if (packet.fragment !== 0) return DropReason.FilterRefused
    const ports = this.#openAt(time)
    if (packet.kind === PacketKind.EchoRequest || packet.kind === PacketKind.EchoReply || packet.kind === PacketKind.IcmpError)
      return ports === undefined || ports.length > 0 ? 0 : DropReason.FilterRefused
    if (packet.kind !== PacketKind.Tcp) return DropReason.FilterRefused
    if (ports === undefined) return 0
    return isAmong(ports, packet.destinationPort) ? 0 : DropReason.FilterRefused
  }

  /** Whether its grants open the TCP port to an operator now. */
  opens(port: number, time: WallTime): boolean {
    return isAmong(this.#openAt(time) ?? [], port)
  }

  #openAt(time: WallTime): readonly OpenPorts[] | undefined {
    return this.#ports?.filter(({ notAfter }) => time < notAfter)
  }

  #isFromPeer(bytes: Uint8Array, { sourceAt, width }: InnerPacket): boolean {
    const source = bytes.subarray(sourceAt, sourceAt + width)
    return this.#sources.some((address) => sameAddress(address, source))
  }
}

const isAmong = (ports: readonly OpenPorts[], port: number): boolean => ports.some(({ from, to }) => from <= port && port <= to)
