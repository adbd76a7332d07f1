import { wipe } from '#shared/crypto/suite.ts'
import { ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, Proposal, SaPayload, TrafficSelector, TsPayload } from '#shared/wire/ike-payload/payload.ts'
import { childAlgorithms } from './agreed-algorithms.ts'
import { ChildSa } from './child-sa.ts'
import type { Generation } from './generation.ts'
import type { ChildSaKeys } from './ike-output.ts'
import type { IkeState } from './ike-state.ts'
import { deriveChildKeys, type Nonces } from './key-material.ts'
import { agree, type KeyShare, keyPayload, makeShare } from './key-share.ts'
import { payloadOf } from './payload-of.ts'
import { offerOf } from './proposal.ts'
import { checkAnswer, idOf } from './select-proposal.ts'
import { espSpiBytes, espSpiOf } from './spi.ts'
import { isNarrowed, type SelectorPair } from './traffic-selectors.ts'

/** A Child SA agreed on, not yet installed. */
export interface MadeChild {
  readonly child: ChildSa
  readonly keys: ChildSaKeys
}

/** What we propose to the peer for a Child SA. The SPI is reserved until it is installed or released. */
export interface ChildOffer {
  readonly inboundSpi: number
  readonly proposals: readonly Proposal[]
  readonly selectors: SelectorPair
  /** Undefined: keys come from SK_d and the nonces alone. */
  readonly share: KeyShare | undefined
}

/** `group`: of the key exchange; undefined: none, as in IKE_AUTH or without PFS. */
export function offerChild(
  state: IkeState,
  proposals: readonly Proposal[],
  selectors: SelectorPair,
  group: number | undefined,
): ChildOffer {
  const inboundSpi = state.context.newEspSpi(state.grant?.peerKey)
  return {
    inboundSpi,
    proposals: offerOf(proposals, espSpiBytes(inboundSpi), group !== undefined),
    selectors,
    share: group === undefined ? undefined : makeShare(state.context.suite, group),
  }
}

/** The offer came to nothing, or its result is not to be used: the SPI is free, and no secret stays. */
export function dropOffer(state: IkeState, offer: ChildOffer, made?: MadeChild): void {
  state.context.releaseEspSpi(offer.inboundSpi)
  wipe(offer.share?.pair.privateKey)
  if (made === undefined) return
  for (const { encryption, integrity } of [made.keys.inbound, made.keys.outbound]) wipe(encryption, integrity)
}

/** SA, KE where there is one, TSi, TSr, in the order of RFC 7296 §1.3.1; the nonce goes behind SA. */
export function offerPayloads(offer: ChildOffer, nonce?: Uint8Array): IkePayload[] {
  return [
    { kind: 'sa', proposals: offer.proposals },
    ...(nonce === undefined ? [] : [{ kind: 'nonce', nonce } as const]),
    ...(offer.share === undefined ? [] : [keyPayload(offer.share)]),
    { kind: 'ts-i', selectors: offer.selectors.local },
    { kind: 'ts-r', selectors: offer.selectors.remote },
  ]
}

/**
 * What the peer made of our offer; a text where that is not acceptable (the end of a sentence). `nonces`: those of this exchange, or of the
 * first one for the Child SA of IKE_AUTH.
 */
export function takeAnswer(
  state: IkeState,
  generation: Generation,
  offer: ChildOffer,
  answer: readonly IkePayload[],
  nonces: Nonces,
): MadeChild | string {
  const parts = answerParts(answer)
  if (parts === undefined) return 'its answer is incomplete'
  const verdict = checkAnswer(parts.sa.proposals, offer.proposals)
  if ('wrong' in verdict) return verdict.wrong
  const { chosen } = verdict
  const selectors = { local: parts.tsI.selectors, remote: parts.tsR.selectors }
  if (!isNarrowed(selectors, offer.selectors)) return 'its traffic selectors are wider than what was proposed'
  const outboundSpi = espSpiOf(chosen.spi)
  if (outboundSpi === undefined) return 'its answer has no SPI'
  const group = idOf(chosen, TransformType.KeyExchange)
  const shared = sharedOf(state, offer, group, answer)
  if (shared === null) return 'its key exchange is not acceptable'
  return makeChild(state, generation, {
    chosen,
    inboundSpi: offer.inboundSpi,
    outboundSpi,
    selectors,
    nonces,
    shared,
    initiator: true,
  })
}

/** Undefined: no key exchange was agreed on; null: one was, and it is not acceptable. */
function sharedOf(
  state: IkeState,
  offer: ChildOffer,
  group: number,
  answer: readonly IkePayload[],
): Uint8Array | undefined | null {
  if (group === 0) return undefined
  const ke = payloadOf(answer, 'ke')
  if (offer.share === undefined || group !== offer.share.group || ke === undefined) return null
  return agree(state.context.suite, offer.share, ke) ?? null
}

interface AnswerParts {
  readonly sa: SaPayload
  readonly tsI: TsPayload
  readonly tsR: TsPayload
}

/** The payloads that speak of a Child SA; undefined where one is missing. */
export function answerParts(payloads: readonly IkePayload[]): AnswerParts | undefined {
  const sa = payloadOf(payloads, 'sa')
  const tsI = payloadOf(payloads, 'ts-i')
  const tsR = payloadOf(payloads, 'ts-r')
  return sa === undefined || tsI === undefined || tsR === undefined ? undefined : { sa, tsI, tsR }
}

export interface AgreedChild {
  readonly chosen: Proposal
  readonly inboundSpi: number
  readonly outboundSpi: number
  readonly selectors: SelectorPair
  readonly nonces: Nonces
  readonly shared: Uint8Array | undefined
  /** Whether we began the exchange. */
  readonly initiator: boolean
}

/** Wipes `agreed.shared`. */
export function makeChild(state: IkeState, generation: Generation, agreed: AgreedChild): MadeChild {
  const { chosen, inboundSpi, outboundSpi, selectors, nonces, shared, initiator } = agreed
  const { prf, keys } = generation.secrets!
  const algorithms = childAlgorithms(chosen)
  const material = deriveChildKeys(prf, keys.d, algorithms, nonces, shared)
  wipe(shared)
  const [outbound, inbound] = initiator ? [material.initiator, material.responder] : [material.responder, material.initiator]
  const [localSelectors, remoteSelectors] = [selectors.local.map(copied), selectors.remote.map(copied)]
  return {
    child: new ChildSa({ inboundSpi, outboundSpi, localSelectors, remoteSelectors }),
    keys: {
      inbound: { spi: inboundSpi, ...inbound },
      outbound: { spi: outboundSpi, ...outbound },
      algorithms: {
        encryption: algorithms.encryption.id,
        keyLength: algorithms.encryption.keyLength,
        integrity: algorithms.integrity?.id ?? 0,
      },
      esn: algorithms.esn,
      localSelectors,
      remoteSelectors,
      tfcRefused: state.abilities.tfcRefused,
    },
  }
}

/** Selectors outlive the message that they came in. */
const copied = (selector: TrafficSelector): TrafficSelector => ({
  ...selector,
  start: selector.start.slice(),
  end: selector.end.slice(),
})

export const isChildOffer = (sa: SaPayload): boolean => sa.proposals.some(({ protocol }) => protocol === ProtocolId.Esp)
