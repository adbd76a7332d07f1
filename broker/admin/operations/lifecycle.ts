import { z } from 'zod'
import { evidenceDocument, stateOf } from '#broker/lifecycle/farewell.ts'
import type { Order } from '#broker/registry/orders.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { decodeClaim } from '#shared/enrolment/claim.ts'
import { AditError } from '#shared/errors.ts'
import { openEvidence } from '#shared/fleet/wipe-evidence.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { type RevocationReason, revocationReasons } from '#shared/pki/revocation-reason.ts'
import { isoTime } from '../iso-time.ts'
import type { Office } from '../office.ts'
import { nothing, type Operation, operation } from '../operation.ts'
import { document } from '../principal-document.ts'

const named = z.strictObject({ name: z.string() })
const reason = z.string().min(1).max(255)
const revocation = z.enum(Object.keys(revocationReasons) as [RevocationReason, ...RevocationReason[]])

/** How devices end: retired here, told to forget the fleet, or handed over to another. */
export const lifecycleOperations: Record<string, Operation> = {
  'device.retire': operation(
    z.strictObject({ name: z.string(), reason, revocation: revocation.optional(), keepReadings: z.boolean().default(false) }),
    async (office, { name, ...words }) => {
      const { registry, clock, actor } = office
      const device = registry.devices.get(name)
      const { revocation: why, ...rest } = words
      const retired = await registry.retirement.retire(device, { ...rest, ...(why && { revocation: why }) }, actor)
      return { ...document(retired.principal, clock.wall()), readings: retired.readings, grants: retired.grants }
    },
  ),
  'device.wipe': operation(
    z.strictObject({ name: z.string(), reason, keepReadings: z.boolean().default(false) }),
    async (office, { name, ...words }) => {
      const device = office.registry.devices.get(name)
      const order = { kind: 'wipe' as const, identity: await identityOf(office, device), ...words }
      return orderDocument(office, await office.registry.orders.give(device, order, office.actor))
    },
  ),
  'device.transfer': operation(
    z.strictObject({ name: z.string(), claim: z.string(), reason, keepReadings: z.boolean().default(false) }),
    async (office, { name, claim, ...words }) => {
      const device = office.registry.devices.get(name)
      checkClaim(office, claim)
      const identity = await identityOf(office, device)
      const order = await office.registry.orders.give(
        device,
        { kind: 'transfer', identity, nextClaim: claim.trim(), ...words },
        office.actor,
      )
      return { ...(await orderDocument(office, order)), handover: await handover(office, device) }
    },
  ),
  'device.orders': operation(nothing, async (office) => {
    const documents = []
    for (const order of await office.registry.orders.list()) documents.push(await orderDocument(office, order))
    return documents
  }),
  'device.cancel-order': operation(named, async (office, { name }) => {
    const device = office.registry.devices.get(name)
    return orderDocument(office, await office.registry.orders.cancel(device, office.actor))
  }),
}

/** The key of the newest certificate: an order is for its holder. */
async function identityOf({ registry }: Office, device: Principal): Promise<string> {
  const newest = (await registry.certificates.list(device.id)).at(-1)
  if (newest !== undefined) return newest.spkiSha256Hex
  throw new AditError(
    'request-refused',
    `${device.name} is a peer without our agent: nobody there would carry out an order.`,
    `Shut it out: adit-broker device retire ${device.name} --reason TEXT`,
  )
}

function checkClaim({ suite, authority }: Office, token: string): void {
  const claim = decodeClaim(token.trim(), suite)
  if (claim.role !== 'device')
    throw new AditError('claim-wrong-role', 'The claim of the new fleet is not for a device.', 'Ask for one of the role device.')
  if (equalPublic(claim.ca, authority.rootFingerprint))
    throw new AditError('usage', 'That claim is of this very fleet.', 'Ask the new owner for one: adit-broker claim create.')
}

/** What the next owner needs to know of a device, and may: no key, no reading, no grant. */
async function handover({ registry }: Office, device: Principal) {
  const certificates = await registry.certificates.list(device.id)
  return {
    name: device.name,
    tags: device.tags,
    enrolled: isoTime(device.createdAt),
    identityKeys: device.identityKeys,
    tunnelKey: device.tunnelKey ?? null,
    hostKeys: (await registry.hostKeys.of(device.id)).map(({ service, keys }) => ({ service, keys })),
    certificates: certificates.length,
  }
}

async function orderDocument(office: Office, order: Order) {
  const { registry, clock } = office
  const device = registry.directory.byId(order.principalId)
  const { pinned } = registry.statements
  const isSigned = pinned === undefined || registry.statements.of(`wipe:${order.id}`)?.statement.kind === 'wipe'
  const end = order.doneAt ?? order.cancelledAt ?? clock.wall()
  return {
    order: order.id,
    device: device?.name ?? null,
    kind: order.kind,
    state: stateOf(order, isSigned),
    reason: order.reason,
    by: order.createdBy,
    ageSeconds: Math.max(0, Math.round((end - order.createdAt) / 1000)),
    created: isoTime(order.createdAt),
    fetched: isoTime(order.fetchedAt),
    done: isoTime(order.doneAt),
    cancelled: isoTime(order.cancelledAt),
    evidence: await evidenceOf(office, order),
  }
}

async function evidenceOf({ registry, suite }: Office, { evidence, identity, principalId }: Order) {
  if (evidence === undefined) return null
  const certificate = (await registry.certificates.list(principalId)).find(({ spkiSha256Hex }) => spkiSha256Hex === identity)
  const key = certificate && parseCertificate(certificate.der).publicKey
  if (key?.kind !== 'p256') return null
  return evidenceDocument(openEvidence(evidence, key.point, suite), evidence, identity)
}
