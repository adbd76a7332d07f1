import { networkInterfaces } from 'node:os'
import mdns, { type MulticastDNS, type Options } from 'multicast-dns'
import type { Log } from '#shared/platform/log.ts'
import { isLanAddress } from './line-admission.ts'

/** DNS-SD (RFC 6763) over multicast DNS (RFC 6762): what stations are under on a LAN. */
export const lineService = '_adit-station._tcp.local'

/** Seconds that others may remember it. */
const ttl = 120

export interface AnnouncementOptions {
  readonly station: string
  readonly port: number
  /** Of the line's token: 8 bytes. */
  readonly id: Uint8Array
  readonly log: Log
  /** Instead of the LANs of this machine: for tests. */
  readonly socket?: Options
}

/** Answers boards that ask for the station of their line. It says where the station is and nothing that proves it: TLS does. */
export class LineAnnouncement {
  readonly #mdns: MulticastDNS

  constructor({ station, port, id, log, socket }: AnnouncementOptions) {
    const [instance, host] = [`${station}.${lineService}`, `${station}.local`]
    const text = [`id=${Buffer.from(id).toString('hex')}`, 'v=1']
    this.#mdns = mdns(socket)
    // A LAN without multicast has fixed addresses: no reason to fail.
    const note = (error: Error): void => log.warn({ error: error.message }, 'the station is not announced on the LAN')
    this.#mdns.on('error', note)
    this.#mdns.on('warning', note)
    this.#mdns.on('query', ({ questions = [] }) => {
      const asked = new Set(questions.map(({ name }) => name.toLowerCase()))
      if (![lineService, instance, host].some((name) => asked.has(name))) return
      this.#mdns.respond({
        answers: [
          { name: lineService, type: 'PTR', ttl, data: instance },
          { name: instance, type: 'SRV', ttl, data: { target: host, port } },
          { name: instance, type: 'TXT', ttl, data: text },
          ...lanAddresses().map((data) => ({
            name: host,
            type: data.includes(':') ? ('AAAA' as const) : ('A' as const),
            ttl,
            data,
          })),
        ],
      })
    })
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#mdns.destroy(() => resolve()))
  }
}

/** This machine's, without those that mean nothing without an interface. */
export const lanAddresses = (): string[] =>
  Object.values(networkInterfaces())
    .flatMap((all = []) => all.filter(({ internal }) => !internal).map(({ address }) => address))
    .filter((address) => isLanAddress(address) && !address.toLowerCase().startsWith('fe80'))
