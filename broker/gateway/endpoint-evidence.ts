import { octetsAtInterface } from '#shared/nat/outer-octets.ts'
import type { Instant } from '#shared/time/instant.ts'
import { type Endpoint, isCarried } from '#shared/wire/endpoint.ts'

/** What has come from one endpoint and gone to it. Nobody has proven anything: whoever can forge a source address can write here. */
export interface Evidence {
  readonly principalId: number
  /** Of the last datagram from there, of any kind. */
  lastHeard: Instant | undefined
  /** Octets at the interface since the last `take`. */
  received: number
  sent: number
  /** How many of these are estimates. */
  estimated: number
}

/**
 * The known endpoints of principals, looked up for every outer datagram without allocating: by address, then by port. It tells presence
 * when a keepalive came from there (a hint), and the ledger what a principal's data costs.
 */
export class EndpointEvidence {
  readonly #byAddress = new Map<string, Map<number, Evidence>>()
  readonly #placeOf = new Map<number, { endpoint: Endpoint; evidence: Evidence }>()

  /** The principal is there now; what was counted elsewhere stays counted. Of two that claim one place the later has it. */
  place(principalId: number, endpoint: Endpoint): void {
    const before = this.#placeOf.get(principalId)
    if (before?.endpoint.address === endpoint.address && before.endpoint.port === endpoint.port) return
    if (before) this.#unlink(before.endpoint, before.evidence)
    const evidence = before?.evidence ?? { principalId, lastHeard: undefined, received: 0, sent: 0, estimated: 0 }
    evidence.lastHeard = undefined
    const ports = this.#byAddress.get(endpoint.address) ?? new Map<number, Evidence>()
    this.#byAddress.set(endpoint.address, ports.set(endpoint.port, evidence))
    this.#placeOf.set(principalId, { endpoint: { address: endpoint.address, port: endpoint.port }, evidence })
  }

  of(principalId: number): Readonly<Evidence> | undefined {
    return this.#placeOf.get(principalId)?.evidence
  }

  forget(principalId: number): void {
    const place = this.#placeOf.get(principalId)
    if (place === undefined) return
    this.#unlink(place.endpoint, place.evidence)
    this.#placeOf.delete(principalId)
  }

  /** `datagrams` of `length` bytes in all came. */
  heard(length: number, from: Endpoint, now: Instant, datagrams = 1): void {
    const evidence = this.#byAddress.get(from.address)?.get(from.port)
    if (evidence === undefined) return
    evidence.lastHeard = now
    const octets = octetsAtInterface(length / datagrams, from) * datagrams
    evidence.received += octets
    if (isCarried(from)) evidence.estimated += octets
  }

  sent(length: number, to: Endpoint, datagrams = 1): void {
    const evidence = this.#byAddress.get(to.address)?.get(to.port)
    if (evidence === undefined) return
    const octets = octetsAtInterface(length / datagrams, to) * datagrams
    evidence.sent += octets
    if (isCarried(to)) evidence.estimated += octets
  }

  /** What has been counted since the last call, principal by principal. */
  *take(): Iterable<{ principalId: number; received: number; sent: number; estimated: number }> {
    for (const { evidence } of this.#placeOf.values()) {
      const { principalId, received, sent, estimated } = evidence
      if (received + sent === 0) continue
      evidence.received = evidence.sent = evidence.estimated = 0
      yield { principalId, received, sent, estimated }
    }
  }

  #unlink(endpoint: Endpoint, evidence: Evidence): void {
    const ports = this.#byAddress.get(endpoint.address)
    if (ports?.get(endpoint.port) !== evidence) return
    ports.delete(endpoint.port)
    if (ports.size === 0) this.#byAddress.delete(endpoint.address)
  }
}
