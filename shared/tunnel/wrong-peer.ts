import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { AuthenticatedPeer, PeerGrant } from '#shared/ikev2/peer-policy.ts'
import type { Endpoint } from './association.ts'

/** The peer that answered has proven to be another one than was asked for. */
export const wrongPeer = (from: Endpoint | undefined, peer: AuthenticatedPeer, grant: PeerGrant): NegotiationFailure => ({
  stage: 'auth',
  code: 'identity-mismatch',
  from,
  claimedId: peer.idText,
  offered: [],
  allowed: [],
  nearest: undefined,
  message: `The peer that answered is ${grant.name} (${peer.idText}), not the one that was asked for.`,
  mendHere: 'Give the address of the peer that is meant.',
  mendThere: 'Nothing.',
})
