import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { idsOfCertificate, matchesCertificate } from '#shared/ikev2/certificate-id.ts'
import { idText, sameId } from '#shared/ikev2/identity.ts'
import type { AuthenticatedPeer, IkeOwner } from '#shared/ikev2/peer-policy.ts'
import type { PrfFunction } from '#shared/ikev2/signed-octets.ts'
import { verifySharedKeyAuth, verifySignedAuth } from '#shared/ikev2/verify-auth.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { AuthMethod } from '#shared/wire/ike-numbers.ts'
import type { AuthPayload, IkeId } from '#shared/wire/ike-payload/payload.ts'

/** What a peer says of itself in IKE_AUTH. */
export interface PeerClaim {
  readonly id: IkeId
  /** DER, leaf first: `chainOf`. May be empty. */
  readonly chain: readonly Uint8Array[]
  readonly auth: AuthPayload
  /** What its proof has to be over: `signedOctets` of the peer's side. */
  readonly octets: Uint8Array
  /** Who it has to be; undefined: whoever the owner admits. */
  readonly expectedId?: IkeId | undefined
}

/** For the record alone: the peer is told AUTHENTICATION_FAILED whichever it is. */
export type AuthenticationRefusal =
  | { readonly kind: 'no-certificate' }
  | { readonly kind: 'certificate'; readonly error: PkiError; readonly chain: readonly Uint8Array[] }
  | { readonly kind: 'signature'; readonly why: string; readonly certificate: Certificate }
  | { readonly kind: 'unknown-identity' }
  | { readonly kind: 'shared-key' }
  /** The certificate does not name what is claimed; `names`: what it names. */
  | { readonly kind: 'identity'; readonly names: readonly string[] }
  | { readonly kind: 'unexpected'; readonly expected: IkeId }

/**
 * The peer's proof judged, in the order that gives least away: its certificate's path, its signature by that certificate's key, that the
 * certificate names what it claims, that it is who was expected. Nothing of ours was sent or looked up before that but what a
 * stranger may know. Never throws on a stranger's bytes.
 */
export function authenticatePeer(
  owner: Pick<IkeOwner, 'judge' | 'preSharedKey'>,
  claim: PeerClaim,
  prf: PrfFunction,
  suite: Suite,
): { peer: AuthenticatedPeer } | { refused: AuthenticationRefusal } {
  return claim.auth.method === AuthMethod.SharedKey ? bySharedKey(owner, claim, prf, suite) : byCertificate(owner, claim, suite)
}

function bySharedKey(
  owner: Pick<IkeOwner, 'preSharedKey'>,
  { id, auth, octets, expectedId }: PeerClaim,
  prf: PrfFunction,
  suite: Suite,
): ReturnType<typeof authenticatePeer> {
  const secret = owner.preSharedKey(id)
  // An unknown identity costs the same work as a wrong key, so that time does not tell them apart.
  const wrong = verifySharedKeyAuth(auth, octets, secret ?? suite.random(32), prf)
  if (secret === undefined) return { refused: { kind: 'unknown-identity' } }
  if (wrong !== undefined) return { refused: { kind: 'shared-key' } }
  if (expectedId !== undefined && !sameId(id, expectedId)) return { refused: { kind: 'unexpected', expected: expectedId } }
  return { peer: { id, idText: idText(id), proof: { kind: 'psk' } } }
}

function byCertificate(
  owner: Pick<IkeOwner, 'judge'>,
  { id, chain, auth, octets, expectedId }: PeerClaim,
  suite: Suite,
): ReturnType<typeof authenticatePeer> {
  if (chain.length === 0) return { refused: { kind: 'no-certificate' } }
  let certificate: Certificate
  try {
    certificate = owner.judge(chain)
  } catch (error) {
    if (error instanceof PkiError) return { refused: { kind: 'certificate', error, chain } }
    throw error
  }
  const why = verifySignedAuth(auth, octets, certificate.publicKey)
  if (why !== undefined) return { refused: { kind: 'signature', why, certificate } }
  if (!matchesCertificate(id, certificate))
    return { refused: { kind: 'identity', names: idsOfCertificate(certificate).map(idText) } }
  // Another name of the same certificate proves as much: strongSwan claims the subject where its host name was asked for.
  if (expectedId !== undefined && !sameId(id, expectedId) && !matchesCertificate(expectedId, certificate))
    return { refused: { kind: 'unexpected', expected: expectedId } }
  const spkiSha256 = toHex(suite.hash('sha256', certificate.spki))
  return { peer: { id, idText: idText(id), proof: { kind: 'certificate', certificate, spkiSha256 } } }
}
