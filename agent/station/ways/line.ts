import type { Options } from 'multicast-dns'
import type { UnitDesk } from '#agent/station/unit-desk.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Clock } from '#shared/time/instant.ts'
import { EstDoor, type LineGuests } from './est-door.ts'
import { LineAdmission } from './line-admission.ts'
import { LineAnnouncement, lanAddresses } from './line-announcement.ts'
import type { LineIdentity, LineTerms } from './line-terms.ts'
import { encodeLineToken, type LineToken } from './line-token.ts'

export interface LineParts {
  readonly suite: Suite
  readonly clock: Clock
  readonly log: Log
  readonly identity: LineIdentity
  readonly terms: LineTerms
  readonly token: LineToken
  /** Where the door is: all of this machine's addresses, unless one is named; boards then go to that one without asking the LAN. */
  readonly listen?: { readonly host?: string; readonly port: number }
  /** For tests: instead of the multicast of this machine's LANs. */
  readonly multicast?: Options
}

export interface Line {
  /** For the image of the line's boards. Secret, a little. */
  readonly token: string
  readonly port: number
  close(): Promise<void>
}

/** The door's port, unless another is named. */
export const linePort = 8445

/** Opens the station's door to the boards of its line, and tells the LAN where it is. */
export async function openLine(
  desk: UnitDesk,
  parts: LineParts,
  guests: LineGuests = guestsOf(desk, async () => false),
): Promise<Line> {
  const { suite, clock, log, identity, terms, token, listen = { port: linePort }, multicast } = parts
  const admission = new LineAdmission(token, clock)
  const door = await EstDoor.open({ desk, identity, terms, admission, guests, suite, log }, listen)
  const { port } = door
  const fixed = listen.host !== undefined && !isEverywhere(listen.host)
  const announcement = fixed
    ? undefined
    : new LineAnnouncement({ station: desk.station, port, id: token.id, log, ...(multicast && { socket: multicast }) })
  const place = fixed
    ? { host: listen.host!, port, rootPem: identity.rootPem }
    : { host: `${desk.station}.local`, port, rootPem: identity.rootPem, addresses: lanAddresses().slice(0, 8) }
  return {
    token: encodeLineToken(token, place, suite),
    port,
    close: async () => {
      await announcement?.close()
      await door.close()
    },
  }
}

/**
 * Boards that come by themselves while the station runs. `admit`: whether a serial number that the ledger does not know yet belongs to the
 * batch at hand; its unit is opened then.
 */
export function guestsOf(desk: UnitDesk, admit: (serial: string) => Promise<boolean>): LineGuests {
  return {
    async expects(serial) {
      const record = await desk.record(serial)
      if (record !== undefined) return record.way === 'network' && record.step !== 'scrapped'
      if (!(await admit(serial))) return false
      await desk.open(serial, 'network')
      return true
    },
    async held(serial, evidence) {
      if ((await desk.record(serial))?.step !== 'delivered') await desk.delivered(serial, evidence)
    },
  }
}

const isEverywhere = (host: string): boolean => host === '0.0.0.0' || host === '::'
