/**
 * Security Association payload (RFC 7296 §3.3): proposals, each with its transforms.
 *
 *   proposal   | 0 last, 2 more | 0 | length (16) | number | protocol | SPI size | transforms | SPI | transforms …
 */
import { Reader } from '#shared/bytes/reader.ts'
import { Writer } from '#shared/bytes/writer.ts'
import { ProtocolId } from '../ike-numbers.ts'
import { WireError } from '../wire-error.ts'
import type { Proposal, SaPayload, Transform } from './payload.ts'
import { decodeTransform, encodeTransform, lengthOfTransform } from './transform.ts'

/** Bytes before the SPI. */
const PROPOSAL_HEADER_LENGTH = 8
const MORE_PROPOSALS = 2
/** strongSwan and others offer two to six. A bound for hostile ones. */
const MAX_PROPOSALS = 32

export function decodeSa(body: Uint8Array): SaPayload {
  const reader = new Reader(body)
  const proposals: Proposal[] = []
  for (let more = true; more; ) {
    if (proposals.length === MAX_PROPOSALS) throw new WireError('ike-proposals', `more than ${MAX_PROPOSALS} proposals`)
    const marker = reader.u8()
    if (marker !== 0 && marker !== MORE_PROPOSALS) throw new WireError('ike-proposal', `the proposal is marked ${marker}`)
    more = marker === MORE_PROPOSALS
    reader.skip(1)
    const length = reader.u16()
    if (length < PROPOSAL_HEADER_LENGTH)
      throw new WireError('ike-proposal', `a proposal has at least ${PROPOSAL_HEADER_LENGTH} bytes, not ${length}`)
    const proposal = decodeProposal(new Reader(reader.view(length - 4)))
    // The answer names a proposal by its number (§3.3.1), so no two may share one; rising is what makes that cheap to know.
    if (proposal.number <= (proposals.at(-1)?.number ?? 0))
      throw new WireError('ike-proposal', `proposal number ${proposal.number} does not follow on those before it`)
    proposals.push(proposal)
  }
  reader.end()
  return { kind: 'sa', proposals }
}

function decodeProposal(reader: Reader): Proposal {
  const number = reader.u8()
  const protocol = reader.u8()
  const spiLength = reader.u8()
  const count = reader.u8()
  if (!isSpiLength(protocol, spiLength))
    throw new WireError('ike-proposal', `an SPI of ${spiLength} bytes for protocol ${protocol}`)
  if (count === 0) throw new WireError('ike-proposal', 'a proposal without transforms')
  const spi = reader.view(spiLength)
  const transforms: Transform[] = []
  for (let left = count; left > 0; left--) transforms.push(decodeTransform(reader, left === 1))
  reader.end()
  return { number, protocol, spi, transforms }
}

/** IKE: none at first, 8 bytes when it is rekeyed; AH and ESP: 4. A proposal for another protocol is passed over by who chooses. */
function isSpiLength(protocol: number, length: number): boolean {
  if (protocol === ProtocolId.Ike) return length === 0 || length === 8
  if (protocol === ProtocolId.Ah || protocol === ProtocolId.Esp) return length === 4
  return true
}

export function encodeSa(payload: SaPayload, out: Uint8Array, at = 0): number {
  const writer = new Writer(out, at)
  for (const [index, proposal] of payload.proposals.entries()) {
    const { number, protocol, spi, transforms } = proposal
    writer.u8(index < payload.proposals.length - 1 ? MORE_PROPOSALS : 0).u8(0)
    writer.u16(lengthOfProposal(proposal)).u8(number).u8(protocol).u8(spi.length).u8(transforms.length).bytes(spi)
    for (const [i, transform] of transforms.entries()) encodeTransform(transform, i === transforms.length - 1, writer)
  }
  return writer.at - at
}

export function lengthOfSa(payload: SaPayload): number {
  let length = 0
  for (const proposal of payload.proposals) length += lengthOfProposal(proposal)
  return length
}

function lengthOfProposal({ spi, transforms }: Proposal): number {
  let length = PROPOSAL_HEADER_LENGTH + spi.length
  for (const transform of transforms) length += lengthOfTransform(transform)
  return length
}
