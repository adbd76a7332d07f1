import { PkiError } from '#shared/pki/pki-error.ts'
import type { AuthPayload, IkeId, IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { chainOf } from './cert-request.ts'
import { explainOwnerRefusal } from './explain.ts'
import { explainAuthentication, explainCertificate } from './explain-authentication.ts'
import type { GenerationSecrets } from './generation-secrets.ts'
import type { FirstExchange, IkeState } from './ike-state.ts'
import type { IkeKeys } from './key-material.ts'
import type { NegotiationFailure } from './negotiation-failure.ts'
import { authenticatePeer } from './peer-authentication.ts'
import type { AuthenticatedPeer, IkeOwner, PeerGrant } from './peer-policy.ts'
import { type PrfFunction, signedOctets } from './signed-octets.ts'
import { verifyResumptionAuth } from './verify-auth.ts'

/** One end of the first exchange. */
export type End = 'initiator' | 'responder'

/** What `end` proves by its AUTH payload (RFC 7296 §2.15). */
export function octetsOf(end: End, id: IkeId, first: FirstExchange, prf: PrfFunction, keys: IkeKeys): Uint8Array {
  return end === 'initiator'
    ? signedOctets({ prf, skP: keys.pi, message: first.initiatorMessage, nonce: first.nonces.responder, id })
    : signedOctets({ prf, skP: keys.pr, message: first.responderMessage, nonce: first.nonces.initiator, id })
}

export type Verdict = { readonly peer: AuthenticatedPeer } | { readonly failure: NegotiationFailure }

/** The peer at `end` proven to be who it claims to be, or why not; its certificates are among `payloads`. */
export function verifyPeer(
  state: IkeState,
  end: End,
  id: IkeId,
  auth: AuthPayload,
  payloads: readonly IkePayload[],
  { prf, keys }: GenerationSecrets,
): Verdict {
  const first = state.first!
  const octets = octetsOf(end, id, first, prf, keys)
  if (first.resumed !== undefined) {
    const wrong = verifyResumptionAuth(auth, octets, end === 'initiator' ? keys.pi : keys.pr, prf)
    return wrong === undefined ? { peer: first.resumed } : { failure: explainAuthentication({ kind: 'shared-key' }, state) }
  }
  const expectedId = state.initiation?.expectedId
  const claim = { id: { type: id.type, data: id.data.slice() }, chain: chainOf(payloads), auth, octets, expectedId }
  const verdict = authenticatePeer(ownerOf(state), claim, prf, state.context.suite)
  return 'refused' in verdict ? { failure: explainAuthentication(verdict.refused, state) } : verdict
}

/** Whether the owner lets a proven peer in. */
export function admitPeer(
  state: IkeState,
  peer: AuthenticatedPeer,
  { chosen }: GenerationSecrets,
): { readonly peer: AuthenticatedPeer; readonly grant: PeerGrant } | { readonly failure: NegotiationFailure } {
  try {
    const grant = state.context.owner.admit(peer, chosen)
    return 'refused' in grant ? { failure: explainOwnerRefusal(grant, state) } : { peer, grant }
  } catch (error) {
    // The certificate in a ticket, which is read when the owner asks for it, is held to stricter rules than when it was sealed.
    if (error instanceof PkiError) return { failure: explainCertificate(error, [], state) }
    throw error
  }
}

/** An initiator that has a pre-shared key of its own for this peer expects the peer to have it too. */
function ownerOf({ initiation, context }: IkeState): Pick<IkeOwner, 'judge' | 'preSharedKey'> {
  const credential = initiation === undefined ? undefined : (initiation.credential ?? context.credential)
  if (credential?.kind !== 'psk') return context.owner
  return { judge: (chain) => context.owner.judge(chain), preSharedKey: () => credential.secret }
}
