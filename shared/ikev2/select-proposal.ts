import { defectOf, transformsOf } from '#shared/ikev2/proposal-rules.ts'
import { Integrity, KeyExchangeMethod, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'

/**
 * The responder's choice (RFC 7296 §2.7, §3.3.6). Our order of preference decides, between proposals and inside each type, and only within
 * what the peer offers: the peer's order may be old, careless or written by somebody who wants the weakest, ours is policy, and
 * whatever we choose the peer has declared that it takes. Both offers are covered by AUTH, so nobody on the way changes them unseen.
 */
export interface SelectOptions {
  /**
   * For the Child SA of IKE_AUTH, which lives on the key exchange of the IKE SA (RFC 7296 §1.2): key exchanges are passed over on both
   * sides.
   */
  readonly withoutKeyExchange?: boolean
  /**
   * Group of the peer's KE payload. Where both sides allow it, it is chosen whatever our order: all groups that we allow are good enough,
   * and another would cost a round trip (INVALID_KE_PAYLOAD).
   */
  readonly guess?: number
}

export type Selection = { readonly chosen: Proposal } | { readonly mismatch: ProposalMismatch }

/** Kept as it came; `nearestProposal` finds out what a person should change. */
export interface ProposalMismatch {
  readonly offered: readonly Proposal[]
  readonly allowed: readonly Proposal[]
  /** ProtocolId. */
  readonly protocol: number
  readonly options: SelectOptions
}

/** `chosen` has the offer's number and SPI, and one transform of each of its types. Any offer may be given; nothing is thrown. */
export function selectProposal(
  offered: readonly Proposal[],
  allowed: readonly Proposal[],
  protocol: number,
  options: SelectOptions = {},
): Selection {
  const candidates = offered.filter((offer) => defectOf(offer, protocol) === undefined).map((offer) => new Offer(offer))
  for (const wanted of allowed) {
    for (const candidate of candidates) {
      const transforms = candidate.match(wanted, options)
      if (transforms !== undefined) return { chosen: { ...candidate.proposal, transforms } }
    }
  }
  return { mismatch: { offered, allowed, protocol, options } }
}

/** One offered proposal; its transforms are looked up by value, so that a thousand of them cost no more than reading them. */
class Offer {
  readonly proposal: Proposal
  readonly #transforms = new Map<number, Transform>()
  readonly #types = new Set<number>()

  constructor(proposal: Proposal) {
    this.proposal = proposal
    for (const transform of proposal.transforms) {
      this.#types.add(transform.type)
      if (transform.unknownAttribute !== true) this.#transforms.set(keyOf(transform), transform)
    }
  }

  /** One transform of each type that either side has, or undefined. */
  match(wanted: Proposal, { withoutKeyExchange, guess }: SelectOptions): Transform[] | undefined {
    const chosen: Transform[] = []
    for (const type of typeOrder) {
      if (type === TransformType.KeyExchange && withoutKeyExchange === true) continue
      const ours = transformsOf(wanted, type)
      if (ours.length === 0 && !this.#types.has(type)) continue
      const preferred = type === TransformType.KeyExchange ? guessFirst(ours, guess) : ours
      const found = preferred.find((transform) => this.#transforms.has(keyOf(transform)))
      if (found !== undefined) chosen.push(found)
      // Leaving a type out is the same as its value none, where it may be that (RFC 7296 §3.3.3, RFC 5282 §8).
      else if (mayBeNone(type, ours) && this.#mayBeNone(type)) chosen.push(...this.#statedNone(type))
      else return undefined
    }
    return chosen
  }

  #mayBeNone(type: number): boolean {
    return !this.#types.has(type) || this.#statedNone(type).length > 0
  }

  /** `none`, where the offer says so in as many words: then the answer has to say it too. */
  #statedNone(type: number): Transform[] {
    const none = this.#transforms.get(keyOf({ type, id: 0 }))
    return none === undefined ? [] : [none]
  }
}

const typeOrder = [
  TransformType.Encryption,
  TransformType.Prf,
  TransformType.Integrity,
  TransformType.KeyExchange,
  TransformType.Esn,
]

/** Zero is the value none of these two types, and of no other. */
function mayBeNone(type: number, ours: readonly Transform[]): boolean {
  if (type === TransformType.Integrity) return ours.length === 0
  if (type !== TransformType.KeyExchange) return false
  return ours.length === 0 || ours.some(({ id }) => id === KeyExchangeMethod.None)
}

const guessFirst = (ours: readonly Transform[], guess: number | undefined): readonly Transform[] => {
  const guessed = ours.filter(({ id }) => id === guess)
  return guessed.length === 0 ? ours : [...guessed, ...ours]
}

/** Type, number and key length in one number (below 2^42); no key length is not the same as one of zero bits. */
const keyOf = ({ type, id, keyLength = 0x1_0000 }: Transform): number => (type * 0x1_0000 + id) * 0x2_0000 + keyLength

/**
 * The initiator's look at the responder's answer: it must be one of our proposals with one transform of each of its types, nothing added
 * and nothing left out. `offered`: as we sent it. A wrong answer gives the reason as a sentence's end.
 */
export function checkAnswer(answer: readonly Proposal[], offered: readonly Proposal[]): { chosen: Proposal } | { wrong: string } {
  const [chosen, ...more] = answer
  if (chosen === undefined || more.length > 0) return { wrong: `the peer chose ${answer.length} proposals in place of one` }
  const offer = offered.find(({ number, protocol }) => number === chosen.number && protocol === chosen.protocol)
  if (offer === undefined) return { wrong: `the peer chose proposal ${chosen.number}, which was not offered` }
  if (chosen.spi.length !== offer.spi.length) return { wrong: 'the peer answered with an SPI of a wrong length' }
  const defect = defectOf(chosen, chosen.protocol)
  if (defect !== undefined) return { wrong: `the peer's choice is no proposal: ${defect}` }
  const ours = new Set(offer.transforms.map(keyOf))
  const added = chosen.transforms.find((transform) => transform.unknownAttribute === true || !ours.has(keyOf(transform)))
  if (added !== undefined) return { wrong: 'the peer chose an algorithm that was not offered' }
  for (const type of new Set(offer.transforms.map((transform) => transform.type))) {
    const count = transformsOf(chosen, type).length
    const optional = count === 0 && ours.has(keyOf({ type, id: 0 })) && type !== TransformType.Esn
    if (count !== 1 && !optional) return { wrong: `the peer chose ${count} algorithms of type ${type} in place of one` }
  }
  return { chosen }
}

/** Of a chosen proposal: the number of its transform of that type. `none` (0) where there is none: integrity of a combined mode, no PFS. */
export const idOf = (chosen: Proposal, type: number): number => transformsOf(chosen, type)[0]?.id ?? Integrity.None

/** Bits of the key of a chosen proposal's cipher; undefined where its length is not negotiated. */
export const keyLengthOf = (chosen: Proposal): number | undefined => transformsOf(chosen, TransformType.Encryption)[0]?.keyLength
