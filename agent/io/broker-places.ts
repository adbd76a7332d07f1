import type { AgentConfig } from '#agent/core/agent-config.ts'
import { behindNat64, type Nat64View, tryParsePrefix, withNat64 } from '#shared/nat/nat64-prefix.ts'
import { machineNat64, type Nat64 } from '#shared/platform/nat64.ts'
import { resolveHost } from '#shared/platform/resolve-host.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Duration, milliseconds, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { contains, formatCidr, isIpv4, tryParseAddress } from '#shared/wire/ip-address.ts'
import { type Addresses, addressesOf, knownEndpoints, type Lookup, proveAddress, resolveHosts } from './endpoint-resolver.ts'
import type { RecordKeeper } from './record-keeper.ts'
import type { AgentRecord } from './state-folder.ts'

/** How often DNS is asked again while the broker does not answer. */
const RESOLVE_EVERY = seconds(30)
/** Likewise, at first, for a NAT64 that is not known: a new network's name server may come to be known after its addresses. */
const FIRST_LOOK_AGAIN: Duration = seconds(2)
/** What carries datagrams otherwise waits so long for the first word of DNS: UDP's head start (`core/broker-search.ts`) is its name's too. */
const NAMES_HEAD_START: Duration = milliseconds(1_500)

export interface BrokerPlacesOptions {
  readonly keeper: RecordKeeper
  readonly timers: Timers
  readonly nat64?: Nat64 | undefined
  readonly lookup?: Lookup | undefined
  /** Whether the broker answers, so that nothing need be asked. */
  isUp(): boolean
  /** The places to try are others than before. */
  onChange(config: AgentConfig): void
}

/**
 * Where the broker may be, as literal addresses: by DNS, by memory, and through the NAT64 of a network that has no IPv4. What is remembered is
 * what holds in every network: of an address that a NAT64 gave, the IPv4 address behind it.
 */
export class BrokerPlaces {
  readonly #options: BrokerPlacesOptions
  readonly #nat64: Nat64
  #view: Nat64View | undefined
  #resolve: Timer | undefined
  #lookAgain: Timer | undefined
  #lookAfter: Duration = FIRST_LOOK_AGAIN
  #headStart: Timer | undefined
  #isHeadStartOver = false
  #closed = false

  constructor(options: BrokerPlacesOptions) {
    this.#options = options
    this.#nat64 = options.nat64 ?? machineNat64
    this.#nat64.remember((options.keeper.record.nat64 ?? []).flatMap((text) => tryParsePrefix(text) ?? []))
  }

  /** The prefix of the NAT64 that leads to this endpoint; undefined: none does. */
  nat64Of({ address }: Endpoint): string | undefined {
    const bytes = tryParseAddress(address)
    const prefix = bytes && this.#view?.prefixes.find((one) => contains(one, bytes))
    return prefix && formatCidr(prefix)
  }

  /** The broker's names have no address yet, and DNS is asked for one at this moment: `onChange` tells when that is over. */
  isAwaited(config: AgentConfig): boolean {
    return !this.#isHeadStartOver && config.broker.endpoints.length > 0 && this.endpoints(config).length === 0
  }

  /** The UDP endpoints to try. */
  endpoints(config: AgentConfig): Endpoint[] {
    return knownEndpoints(config.broker.endpoints, this.#record).flatMap((endpoint) => this.#ways(endpoint))
  }

  /** The one that answered last, by the way that leads there now. */
  get last(): Endpoint | undefined {
    const { lastEndpoint } = this.#record
    return lastEndpoint && this.#ways(lastEndpoint)[0]
  }

  /** How this network writes a place of anybody's: as its NAT64 does, where it has no IPv4 and is known to have one. */
  wayTo(place: Endpoint): Endpoint {
    return (this.#view?.how === 'guessed' ? undefined : this.#ways(place)[0]) ?? place
  }

  /** Literal addresses with those beside them by which they are reached here. */
  through(addresses: readonly string[]): readonly string[] {
    return withNat64(addresses, this.#view)
  }

  /** The addresses to try for a host of a stream. */
  resolve(host: string): Promise<readonly string[]> {
    const { lookup } = this.#options
    return resolveHost(host, { lastGood: addressesOf(host, this.#record), ...(lookup && { lookup }) })
  }

  /** The broker has answered from there, by UDP. */
  answered({ address, port }: Endpoint): void {
    const ipv4 = behindNat64(address, this.#view)
    // What served is tried where, another time, no name server says what does.
    const nat64 = ipv4 !== address && this.#view ? { nat64: this.#view.prefixes.map(formatCidr) } : {}
    this.#options.keeper.remember({ lastEndpoint: { address: ipv4, port }, ...nat64, ...this.proven([address]) })
  }

  /** The broker itself has answered from these. */
  proven(answered: Iterable<string>): Pick<AgentRecord, 'proven'> {
    const { config } = this.#record
    if (config === undefined) return {}
    let known: Pick<AgentRecord, 'addresses' | 'proven'> = this.#record
    for (const address of answered) {
      const proven = proveAddress(this.#names(config), behindNat64(address, this.#view), known)
      known = { ...known, proven }
    }
    return known.proven && Object.keys(known.proven).length > 0 ? { proven: known.proven } : {}
  }

  /** Asks DNS for the broker's names, and whether a NAT64 is needed, now and again until it answers. */
  ask(): void {
    if (!this.#isHeadStartOver) this.#headStart ??= this.#options.timers.setTimer(NAMES_HEAD_START, () => this.#endHeadStart())
    void this.#lookForNat64()
    void this.#resolveHosts()
  }

  networkChanged(): void {
    this.#nat64.forget()
    this.#lookAfter = FIRST_LOOK_AGAIN
    void this.#lookForNat64()
  }

  close(): void {
    this.#closed = true
    this.#headStart?.clear()
    this.#resolve?.clear()
    this.#lookAgain?.clear()
  }

  async #resolveHosts(): Promise<void> {
    const { keeper, timers, lookup, isUp, onChange } = this.#options
    this.#resolve?.clear()
    const { config } = this.#record
    if (!config) return
    const before = this.#record.addresses ?? {}
    const addresses = this.#behind(await resolveHosts(this.#names(config), before, timers, lookup))
    if (this.#closed) return
    if (JSON.stringify(addresses) !== JSON.stringify(before)) {
      keeper.remember({ addresses })
      onChange(config)
      void this.#lookForNat64()
    }
    this.#endHeadStart()
    // Another round may have ended meanwhile: one timer is enough, and `close` knows one.
    this.#resolve?.clear()
    if (!isUp()) this.#resolve = timers.setTimer(RESOLVE_EVERY, () => this.ask())
  }

  #endHeadStart(): void {
    const { config } = this.#record
    const wasAwaited = config !== undefined && this.isAwaited(config)
    this.#isHeadStartOver = true
    this.#headStart?.clear()
    if (wasAwaited) this.#options.onChange(config)
  }

  async #lookForNat64(): Promise<void> {
    const { keeper, timers, isUp, onChange } = this.#options
    this.#lookAgain?.clear()
    const { config } = this.#record
    const ipv4 = config && knownEndpoints(config.broker.endpoints, this.#record).find(({ address }) => isIpv4(address))
    const view = ipv4 && (await this.#nat64.look(ipv4.address))
    if (this.#closed || config === undefined) return
    const isNews = JSON.stringify(view) !== JSON.stringify(this.#view)
    this.#view = view
    const { addresses } = this.#record
    if (isNews && addresses) keeper.remember({ addresses: this.#behind(addresses) })
    if (isNews) onChange(config)
    this.#lookAgain?.clear()
    if (view === undefined || view.how === 'discovered' || isUp()) return
    this.#lookAgain = timers.setTimer(this.#lookAfter, () => void this.#lookForNat64())
    this.#lookAfter = milliseconds(Math.min(2 * this.#lookAfter, RESOLVE_EVERY))
  }

  #ways({ address, port }: Endpoint): readonly Endpoint[] {
    return withNat64([address], this.#view).map((one) => ({ address: one, port }))
  }

  /** What a DNS64 has made of IPv4 addresses holds in its own network alone. */
  #behind(addresses: Addresses): Addresses {
    const own = Object.entries(addresses)
    return Object.fromEntries(own.map(([host, all]) => [host, [...new Set(all.map((one) => behindNat64(one, this.#view)))]]))
  }

  get #record(): AgentRecord {
    return this.#options.keeper.record
  }

  /** The API's names too: their last good addresses serve it while DNS is dead. */
  #names(config: AgentConfig): string[] {
    return [...config.broker.endpoints, ...this.#record.api.map((url) => `${new URL(url).hostname}:443`)]
  }
}
