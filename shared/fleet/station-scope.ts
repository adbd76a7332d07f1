import { isNameWithin } from '#shared/enrolment/delegation.ts'
import type { DelegationStatement, Statement } from './statement.ts'

/** Inner addresses of a device: one of each family. */
const mostAddresses = 2

/**
 * Why a statement that is signed by a station's key does not count under its delegation; undefined: it does. A station says which tunnel key
 * and addresses its own devices have, and nothing else: no operator, grant, host key, order or key, nor that something holds no more.
 */
export function outsideScope(statement: Statement, delegation: Omit<DelegationStatement, 'key'>): string | undefined {
  const { station, tags } = delegation
  if (statement.kind !== 'peer' || statement.role !== 'device') return `station ${station} may vouch for devices alone`
  const { name, tunnelKey, addresses, groups, notAfter } = statement
  if (tunnelKey === undefined) return `station ${station} may vouch for no device without a tunnel key`
  if (groups.length > 0) return `station ${station} may put nobody into a group`
  if (addresses.length > mostAddresses) return `station ${station} may give a device no more than ${mostAddresses} addresses`
  if (!isNameWithin(delegation, name)) return `station ${station} may not vouch for the name ${name}`
  const foreign = statement.tags.find((tag) => !tags.includes(tag))
  if (foreign !== undefined) return `station ${station} may not give the tag ${foreign}`
  return notAfter > delegation.notAfter ? `it outlives the delegation of station ${station}` : undefined
}
