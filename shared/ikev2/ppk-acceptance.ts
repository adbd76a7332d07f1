import { IdType, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { AuthPayload, IkeId, IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { failureRecord } from './failure-record.ts'
import type { GenerationSecrets } from './generation-secrets.ts'
import type { IkeState } from './ike-state.ts'
import type { NegotiationFailure } from './negotiation-failure.ts'
import { findNotify } from './notify.ts'
import { ppkIdOf } from './ppk.ts'

/** Which of the peer's proofs counts, and whether the PPK is in use. */
export interface PpkChoice {
  readonly auth: AuthPayload
  readonly isUsed: boolean
}

/**
 * The responder's choice about a postquantum pre-shared key (RFC 8784 §3): taken where the peer names one that we have, and mixed into the
 * keys at once. Without one the peer's second proof counts, if it gave one and our side does not insist. Undefined: neither can be.
 */
export function acceptPpk(
  state: IkeState,
  peer: IkeId,
  auth: AuthPayload,
  request: readonly IkePayload[],
  secrets: GenerationSecrets,
): PpkChoice | undefined {
  const said = findNotify(request, NotifyType.PpkIdentity)
  const id = said === undefined ? undefined : ppkIdOf(said.data)
  const known = id === undefined ? undefined : state.context.owner.ppk({ type: IdType.KeyId, data: id }, peer)
  if (known !== undefined) {
    secrets.adopt(secrets.mixed(known.key))
    return { auth, isUsed: true }
  }
  if (state.context.owner.ppk(peer, peer)?.mandatory === true) return undefined
  if (said === undefined) return { auth, isUsed: false }
  const plain = findNotify(request, NotifyType.NoPpkAuth)
  return plain === undefined ? undefined : { auth: { ...auth, data: plain.data }, isUsed: false }
}

export const explainPpk = (state: IkeState): NegotiationFailure =>
  failureRecord('auth', 'psk-mismatch', state, {
    message: 'the postquantum pre-shared key that the peer names, or that it must use, is not the one known here',
    mendHere: 'give the peer a postquantum key under the name that it uses',
    mendThere:
      'in swanctl.conf, connections.adit: ppk_id = the name that the key has here, with the same secret in secrets.ppk-adit',
  })
