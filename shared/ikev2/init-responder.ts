import { encodeIkeMessage } from '#shared/wire/ike-message.ts'
import { NotifyType } from '#shared/wire/ike-numbers.ts'
import { Generation } from './generation.ts'
import { type GenerationSecrets, initialSecrets, resumedSecrets } from './generation-secrets.ts'
import type { IkeContext } from './ike-context.ts'
import type { IkeState } from './ike-state.ts'
import { initAnswerPayloads } from './init-answer.ts'
import type { AcceptedInit } from './init-request.ts'
import { agree, type KeyShare, keyPayload, makeShare } from './key-share.ts'
import { hasNotify } from './notify.ts'
import { NONCE_LENGTH } from './numbers.ts'
import { readAbilities } from './peer-abilities.ts'

/**
 * The responder's half of the first exchange: makes the keys and answers. False: the peer's public value is none, there are no keys
 * and no answer.
 */
export function respondInit(state: IkeState, request: AcceptedInit): boolean {
  const { context } = state
  const generation = new Generation(context, context.newSpi(), request.header.initiatorSpi, false)
  const nonces = { initiator: request.nonce.slice(), responder: context.suite.random(NONCE_LENGTH) }
  const share = request.ke === undefined ? undefined : makeShare(context.suite, request.ke.group)
  const secrets = secretsOf(context, request, generation, share, nonces)
  if (secrets === undefined) return false
  generation.secrets = secrets
  state.generations = [generation]
  const agreed = share === undefined ? undefined : { chosen: request.chosen, ke: keyPayload(share) }
  const payloads = initAnswerPayloads(context, agreed, nonces.responder, request.payloads, request.datagram.length)
  const answer = encodeIkeMessage(generation.header(request.header.exchange, 0, true), payloads)
  readAbilities(state.abilities, request.payloads)
  state.first = {
    initiatorMessage: request.datagram,
    responderMessage: answer,
    nonces,
    resumed: request.ticket?.peer,
    ppk: hasNotify(request.payloads, NotifyType.UsePpk),
  }
  generation.answers.answered([answer], request.from)
  state.emit({ kind: 'send', datagram: answer, to: request.from })
  return true
}

function secretsOf(
  { suite }: IkeContext,
  { chosen, ke, ticket }: AcceptedInit,
  generation: Generation,
  share: KeyShare | undefined,
  nonces: { initiator: Uint8Array; responder: Uint8Array },
): GenerationSecrets | undefined {
  const spis = { initiator: generation.remoteSpi, responder: generation.localSpi }
  const agreed = { ...chosen, spi: new Uint8Array() }
  if (ticket !== undefined) return resumedSecrets(suite, agreed, ticket.skD, { nonces, spis, isInitiator: false })
  const shared = agree(suite, share!, ke!)
  return shared === undefined ? undefined : initialSecrets(suite, agreed, { shared, nonces, spis, isInitiator: false })
}
