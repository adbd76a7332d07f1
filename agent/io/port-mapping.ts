import type { Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import { PortMapping, type PortMappingInput, type PortMappingReport } from '#shared/nat/port-mapping.ts'
import { type Driven, Driver } from '#shared/platform/driver.ts'
import { sourceAddressTo } from '#shared/platform/local-address.ts'
import type { Log } from '#shared/platform/log.ts'
import { defaultGateways } from '#shared/platform/network-fingerprint.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { PCP_CLIENT_PORT } from '#shared/wire/pcp.ts'
import { UpnpPort } from './upnp-port.ts'

export interface PortMapperOptions {
  readonly suite: Pick<Suite, 'random'>
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  /** The tunnel's UDP port. */
  readonly internalPort: number
  /** `external` has changed. */
  onChange?(): void
}

/** One gateway that is asked. */
interface Lease {
  readonly gateway: string
  readonly client: string
  readonly machine: PortMapping
  readonly driven: Driven
  /** Where the gateway speaks none of the machine's protocols. */
  upnp?: UpnpPort
  closed?: () => void
}

/**
 * Ports of the default gateways that lead to the tunnel's port (PCP, NAT-PMP, else UPnP), for as long as it is open. Only gateways
 * behind which the tunnel's path lies are asked, so that a broker on this machine or beside a VPN costs the network nothing. Asked from a
 * socket of its own; what gateways announce is listened for where the port for it is free. Nothing here is needed for the tunnel: what
 * fails is logged and left.
 */
export class PortMapper {
  readonly #options: PortMapperOptions
  readonly #driver: Driver
  #socket: UdpSocket | undefined
  #announcements: UdpSocket | undefined
  #leases: Lease[] = []
  #internalPort: number
  /** Where the tunnel's datagrams go. */
  #path: string | undefined
  #looking: Promise<void> = Promise.resolve()
  #isClosed = false

  private constructor(options: PortMapperOptions) {
    this.#options = options
    this.#internalPort = options.internalPort
    this.#driver = new Driver(options.clock, options.timers)
  }

  /** Asks nobody before `setPath`; `onChange` tells of the first answer. */
  static async open(options: PortMapperOptions): Promise<PortMapper> {
    const mapper = new PortMapper(options)
    const onDatagram = (datagram: Uint8Array, from: Endpoint): void => mapper.#receive(datagram, from)
    mapper.#socket = await UdpSocket.bind({ port: 0, onDatagram })
    mapper.#announcements = await UdpSocket.bind({ port: PCP_CLIENT_PORT, onDatagram }).catch(() => undefined)
    return mapper
  }

  /** Where the tunnel's port is reached from outside, IPv4 first; undefined: no gateway gave one. */
  get external(): Endpoint | undefined {
    return this.externals[0]
  }

  /** Of each family. */
  get externals(): Endpoint[] {
    return this.reports.flatMap(({ external }) => external ?? [])
  }

  /** For diagnostics: one for each gateway that is asked. */
  get reports(): PortMappingReport[] {
    return this.#leases.map(({ machine, upnp }) => upnp?.report ?? machine.report)
  }

  /** The tunnel has another socket. */
  setInternalPort(port: number): void {
    this.#internalPort = port
    for (const lease of this.#leases) {
      this.#tell(lease, { kind: 'internal-port', port })
      lease.upnp?.setInternalPort(port)
    }
  }

  /** The tunnel is up, by this literal address of the broker. */
  setPath(address: string): Promise<void> {
    this.#path = address
    return this.networkChanged()
  }

  /** Another network may have other gateways, or our address on the way to them may be another. */
  networkChanged(): Promise<void> {
    this.#looking = this.#looking
      .then(() => this.#look())
      .catch((error) => this.#options.log.debug({ code: toAditError(error).code }, 'no gateway can be asked for a port'))
    return this.#looking
  }

  /** Gives the mappings back: at most 750 ms. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#looking
    await Promise.all(this.#leases.map((lease) => this.#leave(lease)))
    this.#driver.close()
    await Promise.all([this.#socket?.close(), this.#announcements?.close()])
  }

  async #look(): Promise<void> {
    const ways = await this.#ways()
    if (this.#isClosed) return
    const isSame = (lease: Lease, { gateway, client }: (typeof ways)[number]): boolean =>
      lease.gateway === gateway && lease.client === client
    // Of a network that we have left nobody would hear a goodbye; where we are still in it, it is heard.
    for (const lease of this.#leases) if (!ways.some((way) => isSame(lease, way))) void this.#leave(lease)
    this.#leases = [
      ...this.#leases.filter((lease) => ways.some((way) => isSame(lease, way))),
      ...ways.flatMap((way) => (!this.#leases.some((lease) => isSame(lease, way)) ? [this.#make(way.gateway, way.client)] : [])),
    ]
    this.#options.onChange?.()
  }

  /** Gateways with our address on the way to them. */
  async #ways(): Promise<{ gateway: string; client: string }[]> {
    const path = this.#path
    const own = path === undefined ? undefined : await sourceAddressTo(path)
    if (path === undefined || own === undefined || own === '::1' || own.startsWith('127.')) return []
    const gateways = await defaultGateways()
    const ways = await Promise.all(gateways.map(async (gateway) => ({ gateway, client: await sourceAddressTo(gateway) })))
    return ways.flatMap(({ gateway, client }) => {
      const isBehind = gateway.includes(':') !== path.includes(':') || client === own
      return client !== undefined && isBehind ? [{ gateway, client }] : []
    })
  }

  #make(gateway: string, client: string): Lease {
    const { suite, clock } = this.#options
    // A zone says which of our interfaces, and is no part of the address that the gateway knows.
    const machine = new PortMapping(
      { suite, gateway, client: client.split('%', 1)[0]!, internalPort: this.#internalPort },
      clock.now(),
    )
    const driven: Driven = {
      deadline: () => machine.deadline(),
      expire: () => this.#tell(lease, { kind: 'time' }),
    }
    const lease: Lease = { gateway, client, machine, driven }
    this.#driver.add(driven)
    this.#drain(lease)
    return lease
  }

  async #leave(lease: Lease): Promise<void> {
    const left = new Promise<void>((resolve) => (lease.closed = resolve))
    this.#tell(lease, { kind: 'stop' })
    await Promise.all([left, lease.upnp?.close()])
  }

  #receive(datagram: Uint8Array, from: Endpoint): void {
    for (const lease of this.#leases) if (lease.gateway === from.address) this.#tell(lease, { kind: 'datagram', datagram, from })
  }

  #tell(lease: Lease, input: PortMappingInput): void {
    lease.machine.handle(input, this.#options.clock.now())
    this.#drain(lease)
    this.#driver.kick()
  }

  #drain(lease: Lease): void {
    const { machine, gateway } = lease
    for (let output = machine.poll(); output !== undefined; output = machine.poll()) {
      if (output.kind === 'send') this.#socket?.send(output.datagram, output.to)
      else if (output.kind === 'external') {
        this.#options.log.debug({ gateway, external: output.external }, 'port of the gateway')
        this.#options.onChange?.()
      } else {
        this.#driver.remove(lease.driven)
        lease.closed?.()
      }
    }
    this.#tryUpnp(lease)
  }

  /** IPv6 has no NAT that it knows of. */
  #tryUpnp(lease: Lease): void {
    const { machine, gateway, client } = lease
    const { external, refused } = machine.report
    if (external !== undefined) {
      void lease.upnp?.close()
      delete lease.upnp
    } else if (refused !== undefined && lease.upnp === undefined && lease.closed === undefined && !gateway.includes(':')) {
      const { suite, timers } = this.#options
      const onChange = (): void => {
        this.#options.log.debug({ gateway, external: lease.upnp?.report?.external }, 'port of the gateway, by UPnP')
        this.#options.onChange?.()
      }
      lease.upnp = new UpnpPort({ suite, timers, gateway, client, internalPort: this.#internalPort, onChange })
    }
  }
}
