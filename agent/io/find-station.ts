import mdns, { type Options } from 'multicast-dns'
import type { Timers } from '#shared/platform/timers.ts'
import { milliseconds, seconds } from '#shared/time/instant.ts'

/** Where a station says that it is. Nothing of it is believed: TLS proves who answers there. */
export interface StationPlace {
  readonly port: number
  /** Literal, the one that the answer came from first. */
  readonly addresses: readonly string[]
}

const service = '_adit-station._tcp.local'
const askEvery = seconds(1)
const patience = milliseconds(3_500)
/** Places looked at; a LAN has one or two stations, and a liar any number. */
const placeLimit = 8

/**
 * Asks the LAN for the station of a line (DNS-SD over multicast DNS, RFC 6763) by the id of the line's token, 8 bytes, which is no secret.
 * Resolves with what the first station that has it said, or after 3.5 s with nothing.
 */
export function findStation(id: Uint8Array, timers: Timers, socket?: Options): Promise<StationPlace | undefined> {
  const wanted = `id=${Buffer.from(id).toString('hex')}`
  return new Promise((resolve) => {
    const browser = mdns(socket)
    let looked = 0
    const end = (place: StationPlace | undefined): void => {
      again.clear()
      late.clear()
      browser.destroy()
      resolve(place)
    }
    const ask = (): void => browser.query(service, 'PTR')
    let again = timers.setTimer(askEvery, function next() {
      ask()
      again = timers.setTimer(askEvery, next)
    })
    const late = timers.setTimer(patience, () => end(undefined))
    // Without multicast there is nobody to find.
    browser.on('error', () => end(undefined))
    browser.on('warning', () => {})
    browser.on('response', ({ answers = [], additionals = [] }, from) => {
      const records = [...answers, ...additionals]
      const instance = records.find((record) => record.type === 'TXT' && textsOf(record.data).includes(wanted))?.name
      if (instance === undefined || ++looked > placeLimit) return
      for (const record of records) {
        if (record.type !== 'SRV' || record.name !== instance) continue
        const { target, port } = record.data
        const named = records.flatMap((other) =>
          (other.type === 'A' || other.type === 'AAAA') && other.name === target ? [other.data] : [],
        )
        return end({ port, addresses: [...new Set([from.address, ...named])] })
      }
    })
    ask()
  })
}

const textsOf = (data: unknown): string[] => (Array.isArray(data) ? data : [data]).map((text) => String(text))
