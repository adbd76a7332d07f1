import { escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { type Cidr, formatCidr, overlaps, parseCidr, sameAddress } from '#shared/wire/ip-address.ts'
import type { Fleet } from './fleet.ts'
import type { WriteTransaction } from './store-context.ts'

/** Networks behind one peer at most: a Child SA names them all in one payload of at most 255 selectors. */
const mostSubnets = 64

/** Networks that lie behind nobody, and what they are. */
const reserved: readonly [network: Cidr, what: string][] = [
  [parseCidr('0.0.0.0/8'), 'this host'],
  [parseCidr('127.0.0.0/8'), 'loopback'],
  [parseCidr('169.254.0.0/16'), 'link-local'],
  [parseCidr('224.0.0.0/3'), 'multicast and reserved'],
  [parseCidr('::/96'), 'loopback and unspecified'],
  [parseCidr('::ffff:0.0.0.0/96'), 'IPv4 written as IPv6'],
  [parseCidr('fe80::/10'), 'link-local'],
  [parseCidr('ff00::/8'), 'multicast'],
]

/** The networks in canonical text, without repetition. Throws AditError `usage` or `subnet-taken`. */
export function checkSubnets(texts: readonly string[], fleet: Fleet): string[] {
  if (texts.length > mostSubnets) {
    throw new AditError(
      'usage',
      `${texts.length} subnets are too many for one peer.`,
      `Give ${mostSubnets} at most; join neighbours.`,
    )
  }
  const found = texts.map((text) => checkSubnet(text, fleet))
  for (const [at, cidr] of found.entries()) {
    const other = found.slice(0, at).find((earlier) => overlaps(earlier, cidr) && !same(earlier, cidr))
    if (other) throw usage(`${formatCidr(cidr)} and ${formatCidr(other)} overlap.`, 'Give the larger one alone.')
  }
  return [...new Set(found.map(formatCidr))].sort()
}

/** Throws AditError `subnet-taken`, naming both peers, where a network overlaps one of a live peer. */
export async function assertSubnetsFree(transaction: WriteTransaction, name: string, subnets: readonly string[]): Promise<void> {
  if (subnets.length === 0) return
  const taken = await transaction
    .selectFrom('subnets')
    .innerJoin('principals', 'principals.id', 'subnets.principal_id')
    .select(['subnets.cidr', 'principals.name', 'principals.kind'])
    .where('principals.revoked_at', 'is', null)
    .execute()
  for (const subnet of subnets) {
    const holder = taken.find(({ cidr }) => overlaps(parseCidr(cidr), parseCidr(subnet)))
    if (!holder) continue
    throw new AditError(
      'subnet-taken',
      `${subnet} of ${name} overlaps ${holder.cidr} of ${holder.kind} ${holder.name}.`,
      `Number one of the two networks anew, or revoke the other: adit-broker ${holder.kind} revoke ${holder.name}`,
    )
  }
}

function checkSubnet(text: string, fleet: Fleet): Cidr {
  const cidr = parse(text)
  const masked = mask(cidr)
  if (!same(cidr, masked)) {
    throw usage(`${formatCidr(cidr)} is an address in a network, not a network.`, `Did you mean ${formatCidr(masked)}?`)
  }
  if (cidr.prefix === 0) throw usage(`${formatCidr(cidr)} is every address there is.`, 'Name the networks behind the peer.')
  const barred = reserved.find(([network]) => overlaps(network, cidr))
  if (barred)
    throw usage(`${formatCidr(cidr)} overlaps ${formatCidr(barred[0])} (${barred[1]}).`, 'Name the networks behind the peer.')
  const own = [...fleet.routes, ...fleet.broker].find((network) => overlaps(parseCidr(network), cidr))
  if (own !== undefined) {
    const message = `${formatCidr(cidr)} overlaps ${own}, which is the fleet's own: its peers and this broker have their addresses there.`
    throw new AditError('subnet-taken', message, 'Number the network behind the peer anew, or name a part of it.')
  }
  return cidr
}

function parse(text: string): Cidr {
  try {
    if (text.includes('/')) return parseCidr(text)
  } catch {
    // Said below.
  }
  throw usage(`"${escapeText(text)}" is no network.`, 'Write address and prefix length, as in 192.168.1.0/24 or 2001:db8:1::/64.')
}

function mask({ address, prefix }: Cidr): Cidr {
  const masked = address.map((byte, at) => byte & (0xff << Math.min(8, Math.max(0, 8 - (prefix - at * 8)))))
  return { address: masked, prefix }
}

const same = (a: Cidr, b: Cidr): boolean => a.prefix === b.prefix && sameAddress(a.address, b.address)

const usage = (message: string, mend: string): AditError => new AditError('usage', message, mend)
