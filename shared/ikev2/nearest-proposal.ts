import { formatProposal, hasImpliedPrf } from '#shared/ikev2/proposal.ts'
import { defectOf, isCombined, transformsOf } from '#shared/ikev2/proposal-rules.ts'
import type { ProposalMismatch } from '#shared/ikev2/select-proposal.ts'
import { describe, nameOf, refusalOf } from '#shared/ikev2/transform.ts'
import { TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'

/** Of all pairs of an offered and an allowed proposal the one that differs least, and what would make them meet. */
export interface NearestProposal {
  /** As the peer offers it. */
  readonly offered: string
  /** One algorithm of each type, as near to the offer as policy allows: what the peer should offer. */
  readonly allowed: string
  /** `integrity sha1 vs sha256, group modp1024 vs modp2048`: offered against allowed. */
  readonly differs: string
  /** What our policy would have to allow so that the offer is taken; undefined where it holds something that is never taken. */
  readonly adoptable: string | undefined
  /** `SHA-1 is broken`: why algorithms in the difference are never taken, each with its name before it. */
  readonly refusals: readonly string[]
}

const typeNames = new Map<number, string>([
  [TransformType.Encryption, 'encryption'],
  [TransformType.Integrity, 'integrity'],
  [TransformType.Prf, 'PRF'],
  [TransformType.KeyExchange, 'group'],
  [TransformType.Esn, 'ESN'],
])

/** A stranger may offer more; the first ones are what a person configured. */
const offeredLimit = 8
/** Alternatives of one type likewise. */
const transformLimit = 16

/** Undefined where one of the two lists is empty. Costs some thousands of comparisons: for the record of a failure, not for each packet. */
export function nearestProposal(mismatch: ProposalMismatch): NearestProposal | undefined {
  const pairs = mismatch.offered
    .slice(0, offeredLimit)
    .flatMap((offer) => mismatch.allowed.map((allow) => compare(offer, allow, mismatch)))
  const [first, ...rest] = pairs
  if (first === undefined) return undefined
  const best = rest.reduce((kept, pair) => (pair.distance < kept.distance ? pair : kept), first)
  return describePair(best, mismatch.protocol)
}

interface Pair {
  readonly offer: Proposal
  readonly types: readonly Comparison[]
  readonly distance: number
}

/** One transform type on both sides, `none` left out. */
interface Comparison {
  readonly type: number
  readonly theirs: readonly Transform[]
  readonly ours: readonly Transform[]
  readonly shared: Transform | undefined
  readonly differs: boolean
}

function compare(offer: Proposal, allow: Proposal, { protocol, options }: ProposalMismatch): Pair {
  const types = [...typeNames.keys()].map((type) => compareType(type, offer, allow, options.withoutKeyExchange === true))
  const differences = types.filter(({ differs }) => differs).length
  // A cipher of the other kind drags integrity along: such a pair is further apart than its count of differences says.
  const [combined, ourCombined] = [offer, allow].map((one) => one.transforms.some(isCombined))
  const distance = differences + (combined === ourCombined ? 0 : 1.5) + (offer.protocol === protocol ? 0 : 8)
  return { offer, types, distance }
}

function compareType(type: number, offer: Proposal, allow: Proposal, passKeyExchange: boolean): Comparison {
  const theirs = someOf(offer, type)
  const ours = someOf(allow, type)
  const passed = passKeyExchange && type === TransformType.KeyExchange
  const shared = ours.find((one) => theirs.some((other) => same(one, other)))
  return { type, theirs, ours, shared, differs: !passed && shared === undefined && (theirs.length > 0 || ours.length > 0) }
}

const someOf = (proposal: Proposal, type: number): Transform[] =>
  transformsOf(proposal, type)
    .filter(({ id }) => id !== 0 || type === TransformType.Esn)
    .slice(0, transformLimit)

const same = (a: Transform, b: Transform): boolean =>
  a.type === b.type && a.id === b.id && a.keyLength === b.keyLength && b.unknownAttribute !== true

/** Of the same family (modp, ecp, aes) with the nearest number in its name; else our first. */
function nearest(ours: readonly Transform[], theirs: readonly Transform[]): Transform | undefined {
  const [wanted] = theirs
  if (wanted === undefined) return ours[0]
  const { family, size } = familyOf(wanted)
  const relatives = ours.filter((one) => familyOf(one).family === family)
  return [...relatives].sort((a, b) => Math.abs(familyOf(a).size - size) - Math.abs(familyOf(b).size - size))[0] ?? ours[0]
}

/** `modp2048`: modp, 2048; `aes256gcm16`: aes+gcm, 256. */
function familyOf(transform: Transform): { family: string; size: number } {
  const [, word = '', digits = '0', mode = ''] = /^([a-z]+)(\d*)([a-z]*)/.exec(nameOf(transform)) ?? []
  return { family: `${word}+${mode}`, size: Number(digits) }
}

function describePair({ offer, types }: Pair, protocol: number): NearestProposal {
  const defect = defectOf(offer, protocol)
  const wanted = new Map(types.map((one) => [one.type, one.shared ?? nearest(one.ours, one.theirs)]))
  const suggestion: Proposal = { ...offer, protocol, transforms: [...wanted.values()].flatMap((one) => one ?? []) }
  const impliedPrf = hasImpliedPrf(offer) && hasImpliedPrf(suggestion)
  const differing = types.filter(({ type, differs }) => differs && !(impliedPrf && type === TransformType.Prf))
  const differences = differing.map(
    ({ type, theirs }) => `${typeNames.get(type)} ${names(theirs)} vs ${names([wanted.get(type) ?? []].flat())}`,
  )
  const refused = new Map(differing.flatMap(({ theirs }) => theirs).map((one) => [nameOf(one), refusalOf(one)]))
  return {
    offered: formatProposal(offer),
    allowed: formatProposal(suggestion),
    differs: [...(defect === undefined ? [] : [defect]), ...differences].join(', '),
    adoptable: defect === undefined ? adoptable(offer) : undefined,
    refusals: [...refused]
      .flatMap(([name, reason]) => (reason === undefined ? [] : [`${name} is refused: ${reason}`]))
      .slice(0, 6),
  }
}

const names = (transforms: readonly Transform[]): string =>
  transforms.length === 0 ? 'none' : transforms.slice(0, 8).map(nameOf).join('/')

/** The offer without what we do not speak, if something of each type is left. */
function adoptable(offer: Proposal): string | undefined {
  const kept = offer.transforms.filter(
    (one) => describe(one) !== undefined || (one.id === 0 && one.type !== TransformType.Encryption),
  )
  const whole = offer.transforms.every(({ type }) => kept.some((one) => one.type === type))
  return whole ? formatProposal({ ...offer, transforms: kept }) : undefined
}
