import type { Peer } from '#broker/identity/authority.ts'
import type { Order } from '#broker/registry/orders.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { refused } from '#shared/fleet/statement.ts'
import { openEvidence, type WipeEvidence } from '#shared/fleet/wipe-evidence.ts'

interface FarewellParts {
  registry: Pick<Registry, 'orders' | 'retirement'>
  /** SHA-256 of the fleet's root certificate. */
  fleet: Uint8Array
  suite: Suite
}

/**
 * A device's last word: it has carried out its order. Nothing is done before the order is marked done, so that the device, which asks
 * until it is told, makes us end what a power cut has broken off. Throws AditError `not-found` or `statement-refused`.
 */
export async function hearFarewell(
  device: Principal,
  peer: Pick<Peer, 'spkiSha256Hex'>,
  /** 65-byte point of the key that has just been proven. */
  publicKey: Uint8Array,
  evidence: Uint8Array,
  { registry, fleet, suite }: FarewellParts,
): Promise<void> {
  const said = openEvidence(evidence, publicKey, suite)
  const order = await registry.orders.get(said.order)
  if (order === undefined || order.principalId !== device.id)
    throw new AditError('not-found', 'No such order was given to this device.', 'See: adit-broker device orders')
  if (!equalPublic(said.fleet, fleet)) throw refused('it is of another fleet')
  if (order.identity !== peer.spkiSha256Hex) throw refused('the order is for another key')
  // One that was called off meanwhile has been carried out all the same.
  if (order.doneAt === undefined) await registry.orders.done(device, order, evidence)
  const words = { reason: `${order.kind}: ${order.reason}`, keepReadings: order.keepReadings }
  await registry.retirement.retire(device, words, `device:${device.name}`)
}

/** What an order has come to, for people. */
export type OrderState = 'unsigned' | 'waiting' | 'fetched' | 'done' | 'cancelled'

/** `isSigned`: whether a statement of it is there that devices take. */
export function stateOf(order: Order, isSigned: boolean): OrderState {
  if (order.doneAt !== undefined) return 'done'
  if (order.cancelledAt !== undefined) return 'cancelled'
  if (order.fetchedAt !== undefined) return 'fetched'
  return isSigned ? 'waiting' : 'unsigned'
}

/** The evidence as text: what a person may want to keep. */
export const evidenceDocument = ({ at, erased, left }: WipeEvidence, bytes: Uint8Array, key: string) => ({
  at: new Date(at).toISOString(),
  erased,
  left,
  /** SHA-256 of the SPKI of the key that signed it, and the evidence itself, base64. */
  identity: toHex(fromHex(key)),
  signed: Buffer.from(bytes).toString('base64'),
})
