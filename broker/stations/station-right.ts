import type { Right } from '#broker/registry/right.ts'
import type { Station } from '#broker/stations/station.ts'
import { delegationOver } from '#broker/stations/station-store.ts'
import type { ClaimedUnit, Conflict } from '#broker/stations/station-unit.ts'
import type { UnitRegister } from '#broker/stations/unit-register.ts'
import { renamed } from '#broker/stations/unit-word.ts'
import { AditError, type ErrorCode } from '#shared/errors.ts'
import type { Clock } from '#shared/time/instant.ts'

/** A station's word for one board: the right to become one device of the name that the station has given it. */
export function stationRight(station: Station, asked: { unit: string; name: string }, units: UnitRegister, clock: Clock): Right {
  return {
    id: `station:${station.station}/${asked.unit}`,
    async prove() {
      if (station.revokedAt !== undefined || clock.wall() >= station.notAfter) throw delegationOver(station)
    },
    async offer(db, { spkiSha256 }) {
      const conflict = await units.refusal(db, station, claimedNow(asked, spkiSha256, clock))
      if (conflict) throw refusalOf(conflict, asked)
      return {
        role: 'device',
        name: asked.name,
        tags: station.tags,
        groups: [],
        admin: false,
        approval: false,
        left: 1,
        serial: asked.unit,
      }
    },
    async burn(_transaction, _bid, wished) {
      const conflict = renamed(asked.name, wished)
      if (conflict) throw refusalOf(conflict, asked)
      // `offer` has judged it in this transaction. The label on the board says it: another name would be another board's.
      return asked.name
    },
  }
}

/** What a unit claims whose certificate is not made yet. `spkiSha256Hex`: of its identity key. */
export function claimedNow(asked: { unit: string; name: string }, spkiSha256Hex: string, clock: Clock): ClaimedUnit {
  const now = clock.wall()
  return { issuerHex: '', serialHex: '', ...asked, spkiSha256Hex, notBefore: now, notAfter: now, byStation: false }
}

const codes: Record<Conflict['kind'], ErrorCode> = {
  'outside-scope': 'outside-scope',
  'outside-window': 'delegation-over',
  quota: 'quota-exhausted',
  'serial-twice': 'unit-delivered',
  'name-taken': 'name-taken',
  'key-taken': 'request-refused',
  certificate: 'request-refused',
  'hook-denied': 'enrolment-denied',
  'hook-renamed': 'enrolment-denied',
}

export const refusalOf = ({ kind, other }: Conflict, { unit, name }: { unit: string; name: string }): AditError =>
  new AditError(codes[kind], `The broker does not make ${name} of the board ${unit}: ${other.what}.`, mends[kind])

const mends: Record<Conflict['kind'], string> = {
  'outside-scope': 'Let the station choose the name, or authorise another station for it.',
  'outside-window': 'Give it more time: adit-broker station extend NAME --ttl 30d',
  quota: 'Let it issue more: adit-broker station extend NAME --quota N',
  'serial-twice': 'Scrap the first one where it was made, or revoke its device: adit-broker device revoke NAME',
  'name-taken': 'Choose another name, or revoke the old one: adit-broker device revoke NAME',
  'key-taken': 'Make new keys on the board.',
  certificate: 'Ask the administrator of the broker.',
  'hook-denied': 'Ask whoever runs the fleet.',
  'hook-renamed':
    'Scrap the board and provision it under that name, or let the hook give no name where the right begins with station:.',
}

/** What to do about a conflict of that kind, as the register has written it. */
export const mendOf = (kind: string): string => (Object.hasOwn(mends, kind) ? mends[kind as Conflict['kind']] : '')
