import { BrokenFormat, type VectorKind, type Verdicts } from './verdict.ts'
import * as aead from './wireguard/aead.ts'
import * as allowedIps from './wireguard/allowed-ips.ts'
import * as capture from './wireguard/capture.ts'
import * as dissection from './wireguard/dissection.ts'
import * as handshakes from './wireguard/handshakes.ts'
import * as kdf from './wireguard/kdf.ts'
import * as replayWindow from './wireguard/replay-window.ts'
import * as transport from './wireguard/transport.ts'

/** The formats of this kind, told apart by their fields; the first that recognises a file judges it. */
const formats: readonly VectorKind[] = [handshakes, replayWindow, kdf, aead, allowedIps, dissection, transport, capture]

export const recognises = (path: string, contents: unknown): boolean =>
  formats.some((format) => format.recognises(path, contents))

export async function judge(path: string, contents: unknown, verdicts: Verdicts): Promise<void> {
  const format = formats.find((candidate) => candidate.recognises(path, contents))
  if (format === undefined) throw new BrokenFormat(`${path} is in no format of WireGuard vectors that is known here`)
  await format.judge(path, contents, verdicts)
}
