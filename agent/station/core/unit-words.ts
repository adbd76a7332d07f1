import type { LineCount, LineEvent } from '#agent/station/line-event.ts'
import type { UnitRecord } from '#agent/station/unit-desk.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Delegation } from '#shared/enrolment/delegation.ts'
import type { UnitAccount } from '#shared/enrolment/line-account.ts'
import { AditError } from '#shared/errors.ts'
import { wallTime } from '#shared/time/instant.ts'

/** A unit as the ways, the labels and the screen see it. */
export function recordOf(unit: UnitAccount, suite: Pick<Suite, 'hash'>): UnitRecord {
  const { unit: serial, name, way, state, certificate, attempts, cause, openedAt, deliveredAt, scrappedFor, replaces } = unit
  return {
    serial,
    name,
    way,
    step: state,
    ...(certificate && { spkiSha256: toHex(suite.hash('sha256', certificate.spki)), certificateSerial: certificate.serialHex }),
    attempts,
    ...(cause && { cause }),
    openedAt,
    ...(deliveredAt !== undefined && { deliveredAt }),
    ...(scrappedFor !== undefined && { scrappedFor }),
    ...(replaces !== undefined && { replaces }),
  }
}

/** What the line tells of it. */
export const eventOf = (
  { serial, name, way, cause, scrappedFor }: UnitRecord,
  at: number,
  step: LineEvent['step'],
): LineEvent => ({
  at,
  step,
  serial,
  name,
  way,
  ...(step === 'failed' && cause && { code: cause.code, detail: cause.message, mend: cause.mend }),
  ...(step === 'scrapped' && scrappedFor !== undefined && { detail: scrappedFor }),
})

export const deliveredBefore = ({ unit, name }: UnitAccount): AditError =>
  new AditError(
    'unit-delivered',
    `The board ${unit} was delivered before, as ${name}.`,
    `Where it is broken: adit station replace ${unit} --by SERIAL --reason TEXT`,
  )

export const scrappedBefore = ({ unit, scrappedFor }: UnitAccount): AditError =>
  new AditError('unit-scrapped', `The board ${unit} was scrapped: ${scrappedFor}.`, 'Put it aside, and take another.')

export const neverOpened = (serial: string): AditError =>
  new AditError('unit-unknown', `The board ${serial} was not opened at this station.`, 'Begin with: adit station provision')

/** A board that was named as a replacement and is somebody already. */
export const hasOwnPlace = ({ unit, name, replaces }: UnitAccount, old: UnitAccount): AditError =>
  new AditError(
    'unit-delivered',
    `The board ${unit} is ${name} already${replaces === undefined ? '' : `, in the place of ${replaces}`}; ${old.unit} is left as it is.`,
    `Scan the board that comes in the place of ${old.unit}.`,
  )

export const isReplaced = (old: UnitAccount, by: UnitAccount): AditError =>
  new AditError(
    'unit-scrapped',
    `The board ${old.unit} has given its place to ${by.unit} (${by.name}) already.`,
    `Where that one is broken too: adit station replace ${by.unit} --by SERIAL --reason TEXT`,
  )

export const quotaExhausted = ({ station, quota }: Pick<Delegation, 'station' | 'quota'>): AditError =>
  new AditError(
    'quota-exhausted',
    `This station may issue ${quota} certificates, and has.`,
    `Let it issue more: adit-broker station extend ${station} --quota N, then adit station renew.`,
  )

export const windowOver = ({ station, notAfter }: Pick<Delegation, 'station' | 'notAfter'>): AditError =>
  new AditError(
    'delegation-over',
    `This station's window ended at ${new Date(notAfter).toISOString()}.`,
    `Give it more time: adit-broker station extend ${station} --ttl 30d, then adit station renew.`,
  )

/** What stands in the way of another unit, if anything: as a refusal would say it, before anybody comes with a board. */
export function obstacleTo(
  { station, quotaLeft, until }: Pick<LineCount, 'station' | 'quotaLeft' | 'until'>,
  quota: number,
  now: number,
): AditError | undefined {
  if (now >= until) return windowOver({ station, notAfter: wallTime(until) })
  return quotaLeft === 0 ? quotaExhausted({ station, quota }) : undefined
}
