import { DropReason } from '#shared/drop-reason.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { decodeIkeHeader, IKE_HEADER_LENGTH, IKE_MAJOR_VERSION, type IkeHeader } from '#shared/wire/ike-header.ts'
import { decodeIkeMessage, encodeIkeMessage } from '#shared/wire/ike-message.ts'
import { ExchangeType, HeaderFlag, NotifyType, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, KePayload, Proposal } from '#shared/wire/ike-payload/payload.ts'
import { lengthOfPayloads } from '#shared/wire/ike-payloads.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { explainMismatch } from './explain.ts'
import type { IkeContext } from './ike-context.ts'
import { initAnswerPayloads } from './init-answer.ts'
import type { NegotiationFailure } from './negotiation-failure.ts'
import { findNotify, invalidKe, notify } from './notify.ts'
import { NONCE_LENGTH } from './numbers.ts'
import { payloadOf } from './payload-of.ts'
import { readResumeRequest, type TicketContent } from './resume-request.ts'
import { idOf, selectProposal } from './select-proposal.ts'
import { keyExchange } from './transform.ts'

/** A first message that can be answered. Nothing was kept, and no key exchange computed, to find that out. */
export interface AcceptedInit {
  readonly kind: 'init' | 'resume'
  readonly from: Endpoint
  /** The whole message, in memory of its own. Payloads are views of it. */
  readonly datagram: Uint8Array
  readonly header: IkeHeader
  readonly payloads: readonly IkePayload[]
  readonly nonce: Uint8Array
  /** What the peer shows to prove that it receives at `from` (RFC 7296 §2.6). */
  readonly cookie: Uint8Array | undefined
  /** One transform a type; of a resumption those of the session before. */
  readonly chosen: Proposal
  /** Undefined in a resumption. */
  readonly ke: KePayload | undefined
  /** What the ticket held, in a resumption. */
  readonly ticket: TicketContent | undefined
  /** Bytes of the answer that `IkeSa.respond` will give: no more than the request's where no cookie was shown (P-12). */
  readonly replyLength: number
}

/** What is to be done with a first message. */
export type InitVerdict =
  | { readonly kind: 'accepted'; readonly request: AcceptedInit }
  /**
   * It is answered at once, by a message no longer than itself; nothing is kept. `failure` explains why there is no more to it, at a cost
   * far above the answer's: strangers should not make us do it at any rate they like.
   */
  | { readonly kind: 'answered'; readonly reply: Uint8Array; readonly failure: (() => NegotiationFailure) | undefined }
  | { readonly kind: 'dropped'; readonly reason: DropReason }

/**
 * Reads the first message of a stranger: IKE_SA_INIT, or IKE_SESSION_RESUME. Never throws. The caller demands a cookie where
 * `replyLength` is more than the datagram's length or he is under load, and none that is good was shown.
 */
export function readInitRequest(
  context: Pick<IkeContext, 'suite' | 'proposals' | 'authorities' | 'ticketKeys' | 'wall'>,
  datagram: Uint8Array,
  from: Endpoint,
): InitVerdict {
  try {
    return read(context, datagram.slice(), from)
  } catch (error) {
    if (error instanceof WireError) return dropped(DropReason.Malformed)
    throw error
  }
}

const dropped = (reason: DropReason): InitVerdict => ({ kind: 'dropped', reason })

type ReadContext = Parameters<typeof readInitRequest>[0]

function read(context: ReadContext, datagram: Uint8Array, from: Endpoint): InitVerdict {
  const header = decodeIkeHeader(datagram)
  if ((header.flags & HeaderFlag.Response) !== 0) return dropped(DropReason.UnknownReceiver)
  if (header.majorVersion > IKE_MAJOR_VERSION) return answered(header, notify(NotifyType.InvalidMajorVersion))
  if (!isFirst(header)) return dropped(DropReason.UnknownReceiver)
  const { payloads } = decodeIkeMessage(datagram)
  const nonce = payloadOf(payloads, 'nonce')?.nonce
  if (nonce === undefined) return dropped(DropReason.Malformed)
  const cookie = findNotify(payloads, NotifyType.Cookie)?.data
  const message = { from, datagram, header, payloads, nonce, cookie }
  return header.exchange === ExchangeType.IkeSaInit ? readInit(context, message) : readResume(context, message)
}

const isFirst = ({ exchange, flags, messageId, responderSpi }: IkeHeader): boolean =>
  (exchange === ExchangeType.IkeSaInit || exchange === ExchangeType.IkeSessionResume) &&
  (flags & HeaderFlag.Initiator) !== 0 &&
  messageId === 0 &&
  responderSpi === 0n

type Message = Pick<AcceptedInit, 'from' | 'datagram' | 'header' | 'payloads' | 'nonce' | 'cookie'>

function readInit(context: ReadContext, message: Message): InitVerdict {
  const { payloads, header, from } = message
  const sa = payloadOf(payloads, 'sa')
  const ke = payloadOf(payloads, 'ke')
  if (sa === undefined || ke === undefined) return dropped(DropReason.Malformed)
  const selection = selectProposal(sa.proposals, context.proposals, ProtocolId.Ike, { guess: ke.group })
  if ('mismatch' in selection)
    return answered(header, notify(NotifyType.NoProposalChosen), () =>
      explainMismatch('init', selection.mismatch, { endpoint: from }),
    )
  const { chosen } = selection
  const group = idOf(chosen, TransformType.KeyExchange)
  if (group !== ke.group) return answered(header, invalidKe(group))
  const publicBytes = keyExchange(group)?.publicBytes
  if (publicBytes === undefined || ke.data.length !== publicBytes) return dropped(DropReason.Malformed)
  const empty: KePayload = { kind: 'ke', group, data: new Uint8Array(publicBytes) }
  const replyLength = lengthOfReply(context, { chosen, ke: empty }, message)
  return { kind: 'accepted', request: { ...message, kind: 'init', chosen, ke, ticket: undefined, replyLength } }
}

function readResume(context: ReadContext, message: Message): InitVerdict {
  const ticket = readResumeRequest(context, message.payloads)
  if (ticket === undefined) return answered(message.header, notify(NotifyType.TicketNack))
  const { chosen } = ticket
  const replyLength = lengthOfReply(context, undefined, message)
  return { kind: 'accepted', request: { ...message, kind: 'resume', chosen, ke: undefined, ticket, replyLength } }
}

function lengthOfReply(
  context: ReadContext,
  agreed: { chosen: Proposal; ke: KePayload } | undefined,
  { payloads, datagram }: Message,
): number {
  const nonce = new Uint8Array(NONCE_LENGTH)
  const blank = { authorities: context.authorities, suite: { random: (length: number) => new Uint8Array(length) } }
  return IKE_HEADER_LENGTH + lengthOfPayloads(initAnswerPayloads(blank, agreed, nonce, payloads, datagram.length))
}

/** Without a word on who we are, and without keeping anything. */
function answered(header: IkeHeader, payload: IkePayload, failure?: () => NegotiationFailure): InitVerdict {
  return { kind: 'answered', reply: plainReply(header, payload), failure }
}

/** An answer to a first message whose sender gets no IKE SA, or not yet (COOKIE): the responder's SPI stays zero. */
export function plainReply(header: IkeHeader, payload: IkePayload): Uint8Array {
  const { initiatorSpi, exchange, messageId } = header
  return encodeIkeMessage(
    {
      initiatorSpi,
      responderSpi: 0n,
      majorVersion: IKE_MAJOR_VERSION,
      minorVersion: 0,
      exchange,
      flags: HeaderFlag.Response,
      messageId,
    },
    [payload],
  )
}
