import { classify } from '#shared/wire/demux.ts'
import { framesOf, isCapture } from '../pcap.ts'
import type { Verdicts } from '../verdict.ts'
import { judgeLayout } from './dissection.ts'

export const recognises = (_path: string, contents: unknown): boolean => isCapture(contents)

/** Each WireGuard datagram of a capture is taken apart and put together again; other frames are skipped. */
export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  for (const [index, frame] of framesOf(contents as Uint8Array).entries()) {
    if (frame?.ports === undefined || !classify(frame.payload).startsWith('wireguard-'))
      verdicts.skip('capture: not a WireGuard datagram')
    else verdicts.settle(path, `frame ${index + 1}`, () => judgeLayout(frame.payload))
  }
}
