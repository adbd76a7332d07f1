import type { Suite } from '#shared/crypto/suite.ts'
import { IKE_HEADER_LENGTH } from '#shared/wire/ike-header.ts'
import { NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, KePayload, NotifyPayload, Proposal } from '#shared/wire/ike-payload/payload.ts'
import { lengthOfPayloads } from '#shared/wire/ike-payloads.ts'
import { certRequest } from './cert-request.ts'
import { hasNotify, notify } from './notify.ts'
import { acceptedHashes, encodeHashAlgorithms } from './signature-scheme.ts'

/** Of a NAT detection hash, bytes. */
const NAT_HASH_LENGTH = 20

/**
 * NAT_DETECTION_SOURCE_IP and _DESTINATION_IP of chance, which no address hashes to: the peer sees a NAT at both ends, and so puts its ESP
 * into UDP, which is the only ESP that we receive (DESIGN D2).
 */
export const natDetection = (suite: Pick<Suite, 'random'>): NotifyPayload[] => [
  notify(NotifyType.NatDetectionSourceIp, suite.random(NAT_HASH_LENGTH)),
  notify(NotifyType.NatDetectionDestinationIp, suite.random(NAT_HASH_LENGTH)),
]

/** The hashes that we take signatures over (RFC 7427 §4). */
export const signatureHashes = (): NotifyPayload =>
  notify(NotifyType.SignatureHashAlgorithms, encodeHashAlgorithms(acceptedHashes))

/**
 * The answer to a first message (`agreed` undefined: to one that resumes a session). Extensions are named only where the request is
 * long enough that the answer stays within its size: it goes to somebody who has proven nothing (P-12).
 */
export function initAnswerPayloads(
  context: { readonly suite: Pick<Suite, 'random'>; readonly authorities: readonly Uint8Array[] },
  agreed: { readonly chosen: Proposal; readonly ke: KePayload } | undefined,
  nonce: Uint8Array,
  request: readonly IkePayload[],
  requestLength: number,
): IkePayload[] {
  const payloads: IkePayload[] = []
  if (agreed !== undefined) payloads.push({ kind: 'sa', proposals: [{ ...agreed.chosen, spi: new Uint8Array() }] }, agreed.ke)
  payloads.push({ kind: 'nonce', nonce }, ...natDetection(context.suite))
  const asks = certRequest(context.authorities)
  if (agreed !== undefined && asks !== undefined) payloads.push(asks)
  const mirrored = [NotifyType.FragmentationSupported, NotifyType.SignatureHashAlgorithms, NotifyType.UsePpk]
  for (const type of mirrored) {
    if (!hasNotify(request, type)) continue
    payloads.push(type === NotifyType.SignatureHashAlgorithms ? signatureHashes() : notify(type))
  }
  const childless = notify(NotifyType.ChildlessSupported)
  if (IKE_HEADER_LENGTH + lengthOfPayloads([...payloads, childless]) <= requestLength) payloads.push(childless)
  return payloads
}
