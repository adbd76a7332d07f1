import type { Suite } from '#shared/crypto/suite.ts'
import type { PortMappingReport } from '#shared/nat/port-mapping.ts'
import { isUnfitForProbes } from '#shared/nat/unfit-address.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { within } from '#shared/platform/within.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { hours, milliseconds, minutes } from '#shared/time/instant.ts'
import { type Endpoint, sameEndpoint } from '#shared/wire/endpoint.ts'
import { contains, formatAddress, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'
import { igdFaults } from '#shared/wire/upnp-igd.ts'
import { IgdFault, UpnpGateway } from './upnp-gateway.ts'

/** What we ask for, seconds; a lease is asked for again when half of it is over, also one without an end: gateways start anew. */
const LEASE = 3_600
const RENEW_AFTER = minutes(30)
/** First ports that belong to nobody in particular, and how many others are tried where one is taken. */
const FIRST_PORT = 49_152
const OTHER_PORTS = 3
/** How long the end waits for the gateway to take the port back. */
const FAREWELL = milliseconds(750)

export interface UpnpPortOptions {
  readonly suite: Pick<Suite, 'random'>
  readonly timers: Timers
  /** Literal IPv4 addresses: the gateway's, and ours on the way to it. */
  readonly gateway: string
  readonly client: string
  readonly internalPort: number
  /** `UpnpGateway.find` unless said otherwise. */
  readonly find?: (gateway: string, client: string, timers: Timers) => Promise<MappingGateway | undefined>
  /** `report` has changed. */
  onChange(): void
}

export type MappingGateway = Pick<UpnpGateway, 'addMapping' | 'deleteMapping' | 'externalAddress'>

interface Held {
  readonly gateway: MappingGateway
  readonly externalPort: number
}

/**
 * A port of a gateway that leads to ours, by UPnP: for gateways that know neither PCP nor NAT-PMP. Held until `close`; a gateway that has
 * none to give is asked again ever more seldom.
 */
export class UpnpPort {
  readonly #options: UpnpPortOptions
  readonly #backoff: Backoff
  #internalPort: number
  #external: Endpoint | undefined
  #refused: string | undefined
  #held: Held | undefined
  #timer: Timer | undefined
  #round: Promise<void>
  #closed = false

  constructor(options: UpnpPortOptions) {
    this.#options = options
    this.#internalPort = options.internalPort
    this.#backoff = new Backoff(
      { base: hours(6), cap: hours(24) },
      uniform((length) => options.suite.random(length)),
    )
    this.#round = this.#go()
  }

  /** Undefined while the gateway has not given a port. */
  get report(): PortMappingReport | undefined {
    const { gateway } = this.#options
    return this.#external && { gateway, external: this.#external, protocol: 'UPnP', refused: undefined }
  }

  /** Why there is none, for the log. */
  get refused(): string | undefined {
    return this.#refused
  }

  setInternalPort(port: number): void {
    if (port === this.#internalPort) return
    this.#internalPort = port
    this.#timer?.clear()
    this.#round = this.#round.then(() => this.#release()).then(() => this.#go())
  }

  /** Gives the port back. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.clear()
    const { timers } = this.#options
    const released = this.#round.then(() => this.#release())
    await within(timers, FAREWELL, released, () => {})
  }

  /** One round: find the gateway where it is not known, ask for the port or again for it, and plan the next round. */
  async #go(): Promise<void> {
    if (this.#closed) return
    let wait = RENEW_AFTER
    try {
      await this.#map()
      this.#backoff.reset()
      this.#refused = undefined
    } catch (error) {
      this.#refused = error instanceof Error ? error.message : String(error)
      this.#held = undefined
      this.#say(undefined)
      wait = this.#backoff.next()
    }
    if (this.#closed) return
    this.#timer = this.#options.timers.setTimer(wait, () => {
      this.#round = this.#go()
    })
  }

  async #map(): Promise<void> {
    const { gateway: address, client, timers, find = UpnpGateway.find } = this.#options
    const gateway = this.#held?.gateway ?? (await find(address, client, timers))
    if (gateway === undefined) throw new Error('silent')
    const outside = outsideAddress(await gateway.externalAddress())
    const externalPort = await this.#ask(gateway, this.#held?.externalPort ?? this.#internalPort)
    this.#held = { gateway, externalPort }
    this.#say({ address: outside, port: externalPort })
  }

  /** The port that was given. */
  async #ask(gateway: MappingGateway, wish: number): Promise<number> {
    let port = wish
    let lease = LEASE
    for (let others = 0; ; ) {
      try {
        await gateway.addMapping(port, this.#internalPort, lease)
        return port
      } catch (error) {
        const code = error instanceof IgdFault ? error.code : undefined
        if (code === igdFaults.onlyPermanent && lease !== 0) lease = 0
        else if (code === igdFaults.conflict && others < OTHER_PORTS) {
          others++
          const [high = 0, low = 0] = this.#options.suite.random(2)
          port = FIRST_PORT + (((high << 8) | low) & 0x3fff)
        } else throw error
      }
    }
  }

  async #release(): Promise<void> {
    const held = this.#held
    this.#held = undefined
    this.#say(undefined)
    await held?.gateway.deleteMapping(held.externalPort).catch(() => undefined)
  }

  #say(external: Endpoint | undefined): void {
    if (external === undefined ? this.#external === undefined : sameEndpoint(external, this.#external)) return
    this.#external = external
    this.#options.onChange()
  }
}

/** Behind such an address stands another NAT, which nobody outside gets through. */
const inner = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16'].map(parseCidr)

function outsideAddress(text: string): string {
  const address = tryParseAddress(text)
  if (address === undefined || address.length !== 4 || isUnfitForProbes(address)) throw new Error('no external address')
  if (inner.some((cidr) => contains(cidr, address))) throw new Error('behind another NAT')
  return formatAddress(address)
}
