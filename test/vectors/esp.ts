import * as ciphers from './esp/ciphers.ts'
import * as datagrams from './esp/datagrams.ts'
import * as keyedPackets from './esp/keyed-packets.ts'
import { BrokenFormat, type VectorKind, type Verdicts } from './verdict.ts'

/** The formats of this kind, told apart by their fields; the first that recognises a file judges it. */
const formats: readonly VectorKind[] = [keyedPackets, ciphers, datagrams]

export const recognises = (path: string, contents: unknown): boolean =>
  formats.some((format) => format.recognises(path, contents))

export async function judge(path: string, contents: unknown, verdicts: Verdicts): Promise<void> {
  const format = formats.find((candidate) => candidate.recognises(path, contents))
  if (format === undefined) throw new BrokenFormat(`${path} is in no format of ESP vectors that is known here`)
  await format.judge(path, contents, verdicts)
}
