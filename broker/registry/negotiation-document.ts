import { endpointText } from '#shared/wire/endpoint.ts'
import type { Directory } from './directory.ts'
import type { NegotiationRecord } from './negotiations.ts'

/** A failed negotiation as the API and the command line show it. */
export interface NegotiationDocument {
  id: number
  /** ISO 8601. */
  at: string
  /** Whose it was, by the identity that was claimed; null where none was, or nobody bears it. */
  peer: string | null
  /** `address:port`. */
  from: string | null
  claimedId: string | null
  stage: string
  code: string
  times: number
  message: string
  offered: string[]
  allowed: string[]
  nearest: { offered: string; allowed: string; differs: string } | null
  mendHere: string
  mendThere: string
}

export function describeNegotiation(
  { id, at, principalId, times, failure }: NegotiationRecord,
  directory: Pick<Directory, 'byId'>,
): NegotiationDocument {
  const { from, claimedId, stage, code, message, offered, allowed, nearest, mendHere, mendThere } = failure
  return {
    id,
    at: new Date(at).toISOString(),
    peer: (principalId === undefined ? undefined : directory.byId(principalId)?.name) ?? null,
    from: from === undefined ? null : endpointText(from),
    claimedId: claimedId ?? null,
    stage,
    code,
    times,
    message,
    offered: [...offered],
    allowed: [...allowed],
    nearest: nearest === undefined ? null : { ...nearest },
    mendHere,
    mendThere,
  }
}
