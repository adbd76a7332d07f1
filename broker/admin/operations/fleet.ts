import { z } from 'zod'
import { pendingDocument } from '#broker/fleet/pending-document.ts'
import { StatementDesk } from '#broker/fleet/statement-desk.ts'
import { delegationFor } from '#broker/fleet/station-vouching.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { AditError } from '#shared/errors.ts'
import { keyFingerprint, parseFleetKey } from '#shared/fleet/key-fingerprint.ts'
import { isoTime } from '../iso-time.ts'
import type { Office } from '../office.ts'
import { nothing, type Operation, operation } from '../operation.ts'

const pin = z.strictObject({ key: z.string(), replace: z.boolean().default(false) })
/** Several thousand: the command line reads a file that somebody has signed elsewhere. */
const signed = z.strictObject({
  statements: z.array(z.string().max(24_000)).max(100_000),
  /** Only judged: a file of several questions is to be taken whole or not at all. */
  check: z.boolean().default(false),
})

/** `adit-broker fleet …`: the broker's side of the administrator's key. */
export const fleetOperations: Record<string, Operation> = {
  'fleet.status': operation(nothing, async (office) => {
    const { registry, authority, suite } = office
    const { pinned } = registry.statements
    const { pending, unsayable, atStations } = await deskOf(office).pending()
    const stored = [...registry.statements.all()]
    const key = pinned ?? authority.statementKey.publicKey
    return {
      fleet: toHex(authority.fleetId),
      pinned: pinned !== undefined,
      key: Buffer.from(key).toString('base64'),
      fingerprint: keyFingerprint(key, suite),
      signed: pinned === undefined ? 0 : stored.filter(({ signer }) => signer === toHex(pinned)).length,
      pending: pinned === undefined ? 0 : pending.length,
      unsayable,
      stations: pinned === undefined ? [] : stationsOf(office, atStations),
    }
  }),
  'fleet.pending': operation(z.strictObject({ all: z.boolean().default(false) }), async (office, { all }) =>
    pendingDocument(await deskOf(office).pending({ all }), office),
  ),
  'fleet.import': operation(signed, async (office, { statements, check }) => {
    const [desk, messages] = [deskOf(office), statements.map(fromText)]
    const { taken, key } = check ? desk.check(messages) : await desk.submit(messages, office.actor)
    return { taken, fingerprint: keyFingerprint(key, office.suite) }
  }),
  'fleet.pin': operation(pin, async ({ registry, suite, actor }, { key: text, replace }) => {
    const key = parseFleetKey(text)
    const before = registry.statements.pinned
    if (before !== undefined && !equalPublic(before, key) && !replace) throw alreadyPinned(keyFingerprint(before, suite))
    await registry.statements.pin(key, actor)
    return { key: Buffer.from(key).toString('base64'), fingerprint: keyFingerprint(key, suite) }
  }),
}

const deskOf = ({ registry, authority, suite, clock }: Office): StatementDesk =>
  new StatementDesk({ registry, fleet: authority.fleetId, suite, clock })

/** Who may vouch for devices beside the administrator, or would if it were signed. */
function stationsOf({ registry, suite, clock }: Office, atStations: readonly { station: string }[]) {
  return [...registry.stations.all()].flatMap((station) => {
    const { station: name, statementKey, revokedAt } = station
    if (statementKey === undefined || revokedAt !== undefined) return []
    const delegation = delegationFor(registry, station, clock.wall())
    return {
      station: name,
      key: keyFingerprint(fromHex(statementKey), suite),
      until: delegation?.counts ? isoTime(delegation.statement.notAfter) : null,
      waiting: atStations.filter((waiting) => waiting.station === name).length,
    }
  })
}

const fromText = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'base64'))

const alreadyPinned = (fingerprint: string): AditError =>
  new AditError(
    'fleet-key-refused',
    `Another fleet key is pinned here: ${fingerprint}.`,
    'Hand over with adit fleet rotate; only where the old key is lost: adit-broker fleet pin PUBLICKEY --replace, and pin it on each device.',
  )
