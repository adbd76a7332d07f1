import { equalPublic } from '#shared/bytes/equal.ts'
import { type Duration, milliseconds, minutes, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { decodeNatPmpResponse, encodeNatPmpRequest, type NatPmpResponse, natPmpResults } from '#shared/wire/nat-pmp.ts'
import { decodePcpResponse, encodePcpRequest, type PcpResponse, pcpResults } from '#shared/wire/pcp.ts'
import { orUndefined } from '#shared/wire/stun.ts'

/** What an answer of the gateway means; `epoch` is its count of seconds. */
export type Reading = { readonly epoch: number } & (
  | { readonly kind: 'mapped'; readonly external: Endpoint; readonly lifetime: Duration }
  /** The mapping is gone, as we asked. */
  | { readonly kind: 'deleted' }
  /** It says of itself when it began: only who has just begun does. */
  | { readonly kind: 'announced' }
  /** Nothing of ours but the epoch, or only a part of what we need. */
  | { readonly kind: 'told' }
  /** `wait`: not to be asked again before. `isForeign`: it does not speak this protocol. */
  | { readonly kind: 'refused'; readonly why: string; readonly wait: Duration; readonly isForeign: boolean }
)

/** One protocol by which a mapping is asked for. */
export interface PortMappingDialect {
  readonly name: 'PCP' | 'NAT-PMP'
  /** When a question is put, ms after the first time; the last number is when we give up. */
  readonly schedule: readonly number[]
  /** `lifetime`: seconds. `suggested`: what we had, or would like. */
  ask(lifetime: number, suggested: Endpoint | undefined): Uint8Array[]
  remove(): Uint8Array[]
  /** Undefined where the bytes are no answer to us. Never throws. */
  read(datagram: Uint8Array): Reading | undefined
}

export interface DialectOptions {
  readonly internalPort: number
  /** Our own literal address on the way to the gateway. */
  readonly client: string
  /** 12 bytes by chance. */
  readonly nonce: Uint8Array
}

/** How long an error keeps us from asking again, at least and at most (RFC 6887 §7.4: 30 s for passing ones, 30 min for lasting ones). */
const SHORTEST_PAUSE = seconds(30)
const LONGEST_PAUSE = minutes(24 * 60)
const LASTING = minutes(30)

/** RFC 6887. Retransmission by §8.1.1: 3 s, doubling. */
export class PcpDialect implements PortMappingDialect {
  readonly name = 'PCP'
  readonly schedule = [0, 3_000, 9_000, 12_000] as const
  readonly #options: DialectOptions

  constructor(options: DialectOptions) {
    this.#options = options
  }

  ask(lifetime: number, suggested: Endpoint | undefined): Uint8Array[] {
    const { client, nonce, internalPort } = this.#options
    const external = suggested ?? { address: this.#any, port: internalPort }
    return [encodePcpRequest({ lifetime, client, map: { nonce, internalPort, external } })]
  }

  remove(): Uint8Array[] {
    return this.ask(0, { address: this.#any, port: 0 })
  }

  read(datagram: Uint8Array): Reading | undefined {
    return orUndefined(() => {
      if (datagram[0] === 0) return foreign(decodeNatPmpResponse(datagram).epoch)
      return this.#reading(decodePcpResponse(datagram))
    })
  }

  #reading({ opcode, result, lifetime, epoch, map }: PcpResponse): Reading | undefined {
    if (opcode === 'announce') return result === 0 ? { kind: 'announced', epoch } : undefined
    const { nonce, internalPort } = this.#options
    if (map && (map.internalPort !== internalPort || !equalPublic(map.nonce, nonce))) return undefined
    const name = pcpResults[result] ?? `result ${result}`
    // Without the nonce anybody may have written it: only that the protocol is not spoken here is believed.
    if (name === 'UNSUPP_VERSION' || name === 'UNSUPP_OPCODE') return foreign(epoch, name)
    if (map === undefined) return undefined
    if (result !== 0) {
      const wait = milliseconds(Math.min(Math.max(lifetime * 1_000, SHORTEST_PAUSE), LONGEST_PAUSE))
      return { kind: 'refused', why: name, wait, isForeign: false, epoch }
    }
    if (lifetime === 0) return { kind: 'deleted', epoch }
    return { kind: 'mapped', external: map.external, lifetime: seconds(lifetime), epoch }
  }

  /** No address in particular, of our family. */
  get #any(): string {
    return this.#options.client.includes(':') ? '::' : '0.0.0.0'
  }
}

/** RFC 6886. Retransmission by §3.1: 250 ms, doubling, here given up earlier than after 64 s. */
export class NatPmpDialect implements PortMappingDialect {
  readonly name = 'NAT-PMP'
  readonly schedule = [0, 250, 750, 1_750, 3_750, 7_750, 12_000] as const
  readonly #internalPort: number
  #address: string | undefined
  #mapping: { port: number; lifetime: Duration } | undefined

  constructor({ internalPort }: DialectOptions) {
    this.#internalPort = internalPort
  }

  ask(lifetime: number, suggested: Endpoint | undefined): Uint8Array[] {
    this.#address = this.#mapping = undefined
    const internalPort = this.#internalPort
    const map = { kind: 'map', internalPort, externalPort: suggested?.port ?? internalPort, lifetime } as const
    return [encodeNatPmpRequest({ kind: 'address' }), encodeNatPmpRequest(map)]
  }

  remove(): Uint8Array[] {
    return [encodeNatPmpRequest({ kind: 'map', internalPort: this.#internalPort, externalPort: 0, lifetime: 0 })]
  }

  read(datagram: Uint8Array): Reading | undefined {
    return orUndefined(() => this.#reading(decodeNatPmpResponse(datagram)))
  }

  #reading(response: NatPmpResponse): Reading | undefined {
    const { epoch } = response
    if (response.kind === 'refused') {
      const why = natPmpResults[response.result] ?? `result ${response.result}`
      const isForeign = why === 'unsupported version' || why === 'unsupported opcode'
      return { kind: 'refused', why, wait: why === 'not authorized' ? LASTING : minutes(5), isForeign, epoch }
    }
    if (response.kind === 'address') this.#address = response.address
    else if (response.internalPort !== this.#internalPort) return undefined
    else if (response.lifetime === 0) return { kind: 'deleted', epoch }
    else this.#mapping = { port: response.externalPort, lifetime: seconds(response.lifetime) }
    if (this.#address === undefined || this.#mapping === undefined) return { kind: 'told', epoch }
    const external = { address: this.#address, port: this.#mapping.port }
    return { kind: 'mapped', external, lifetime: this.#mapping.lifetime, epoch }
  }
}

const foreign = (epoch: number, why = 'UNSUPP_VERSION'): Reading => ({
  kind: 'refused',
  why,
  wait: LASTING,
  isForeign: true,
  epoch,
})
