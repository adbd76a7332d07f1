import * as badPackets from './ike/bad-packets.ts'
import * as datagrams from './ike/datagrams.ts'
import * as keyDerivation from './ike/key-derivation.ts'
import * as keyExchange from './ike/key-exchange.ts'
import * as keyedCapture from './ike/keyed-capture.ts'
import * as prf from './ike/prf.ts'
import { BrokenFormat, type VectorKind, type Verdicts } from './verdict.ts'

/** The formats of this kind, told apart by their fields; the first that recognises a file judges it. */
const formats: readonly VectorKind[] = [keyedCapture, badPackets, keyDerivation, keyExchange, prf, datagrams]

export const recognises = (path: string, contents: unknown): boolean =>
  formats.some((format) => format.recognises(path, contents))

export async function judge(path: string, contents: unknown, verdicts: Verdicts): Promise<void> {
  const format = formats.find((candidate) => candidate.recognises(path, contents))
  if (format === undefined) throw new BrokenFormat(`${path} is in no format of IKE vectors that is known here`)
  await format.judge(path, contents, verdicts)
}
