import type { Scope } from '#shared/enrolment/delegation.ts'
import { AditError } from '#shared/errors.ts'

/** Numbers of a pattern that are somebody's: both ends included. */
export interface TakenNumbers {
  readonly first: number
  readonly last: number
  /** `those of station line-2`. */
  readonly whose: string
}

/** So many are named, and the others counted. */
const mostNamed = 4

/**
 * A station's numbers are one range, so that it counts on without asking: it grows only as far as the numbers behind it are nobody's. `last`: to
 * which it is to grow; `next`: where the numbers of another station would begin. Throws AditError `name-taken`, which says whose they are, how far
 * it would go, and what gives it more all the same.
 */
export function checkNumbersFree(station: Scope, last: number, taken: readonly TakenNumbers[], next: number): void {
  const against = taken
    .filter((range) => range.first <= last && range.last > station.last)
    .sort((a, b) => a.first - b.first || a.last - b.last)
  const [nearest] = against
  if (nearest === undefined) return
  const { names, quota, tags } = station
  const named = against.slice(0, mostNamed).map(({ first, last: end, whose }) => `${rangeText(first, end)} ${whose}`)
  const others = against.length - named.length
  const whose = named.join(', ') + (others > 0 ? `, and ${others} more` : '')
  const room = Math.max(0, nearest.first - station.last - 1)
  const wanted = last - station.last
  const fits = room > 0 ? `--quota ${quota + room} fits. ` : ''
  const tagWords = tags.map((tag) => ` --tag ${tag}`).join('')
  throw new AditError(
    'name-taken',
    `Station ${station.station} cannot have the numbers ${rangeText(station.last + 1, last)} of ${names}: ${whose}.`,
    `${fits}For all ${wanted}, authorise a second station for the same line, whose numbers begin at ${next}: ` +
      `adit-broker station authorize --name ${station.station}-b --names '${names}' --quota ${wanted}${tagWords} --ttl 30d, and on the line's machine ` +
      'adit station init --claim - --state DIR. More time alone: adit-broker station extend ' +
      `${station.station} --ttl 30d`,
  )
}

const rangeText = (first: number, last: number): string => (first === last ? `${first}` : `${first} to ${last}`)
