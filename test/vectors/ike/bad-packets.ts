import { fromHex } from '#shared/bytes/hex.ts'
import { defaultIkeProposals } from '#shared/ikev2/proposal.ts'
import { selectProposal } from '#shared/ikev2/select-proposal.ts'
import { decodeIkeMessage } from '#shared/wire/ike-message.ts'
import { ExchangeType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import { isFields } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'
import { isRefused } from './message.ts'

/** libreswan's fuzzer: `{packets: [hex]}`, broken datagrams to a responder, which must survive and make no state of them. */
export const recognises = (_path: string, contents: unknown): boolean => isBadPackets(contents)

/** Broken, but each of IKE version 2. */
const isBadPackets = (contents: unknown): contents is { packets: readonly string[] } =>
  isFields(contents) &&
  Array.isArray(contents.packets) &&
  contents.packets.length > 0 &&
  contents.packets.every((packet) => typeof packet === 'string' && /^[0-9a-f]{34}2[0-9a-f]{21,}$/i.test(packet))

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isBadPackets(contents)) throw new BrokenFormat(`${path} has no packets`)
  for (const [index, packet] of contents.packets.entries()) verdicts.settle(path, index, () => judgeOne(fromHex(packet)))
}

function judgeOne(datagram: Uint8Array): string | undefined {
  if (isRefused(datagram)) return undefined
  const { header, payloads } = decodeIkeMessage(datagram)
  // Nothing but these begins an SA without keys; whatever else comes in the clear has no SA that it belongs to.
  const begins: readonly number[] = [ExchangeType.IkeSaInit, ExchangeType.IkeSessionResume]
  if (!begins.includes(header.exchange)) return undefined
  const sa = payloads.find(({ kind }) => kind === 'sa')
  if (sa?.kind !== 'sa') return undefined
  const selection = selectProposal(sa.proposals, defaultIkeProposals, ProtocolId.Ike)
  return 'chosen' in selection ? 'an IKE SA would be made of it' : undefined
}
