import { classify } from '#shared/wire/demux.ts'
import { NON_ESP_MARKER } from '#shared/wire/ike-header.ts'
import { hexField, isFields, isFieldsArray, numberField, textField } from '../fields.ts'
import { type Frame, framesOf, isCapture } from '../pcap.ts'
import { describeIke, printedIke } from '../tcpdump-text.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'
import { judgeDatagram, numbersOf } from './message.ts'

/**
 * IKE messages without keys: captures, and `{packets: [{file, frame, sport, dport, udpPayload}]}` lifted from them. Each is read and
 * written again. Where tcpdump's text of a capture lies beside it, versions and message ids must be the printed ones.
 */
export function recognises(_path: string, contents: unknown): boolean {
  if (isCapture(contents)) return framesOf(contents).some((frame) => frame !== undefined && messageOf(frame) !== undefined)
  return isPackets(contents) && contents.packets.some((packet) => typeof packet.udpPayload === 'string')
}

const isPackets = (contents: unknown): contents is { packets: readonly Record<string, unknown>[] } =>
  isFields(contents) && isFieldsArray(contents.packets) && contents.packets.every((packet) => typeof packet.file === 'string')

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (isCapture(contents)) judgeCapture(path, contents, verdicts)
  else if (isPackets(contents)) {
    for (const packet of contents.packets) {
      const id = `${textField(packet, 'file')} ${numberField(packet, 'frame')}`
      if (typeof packet.udpPayload !== 'string') {
        verdicts.skip('not an IKE message')
        continue
      }
      const ports = [numberField(packet, 'sport'), numberField(packet, 'dport')] as const
      const message = messageOf({ ports, payload: hexField(packet, 'udpPayload') })
      if (message === undefined) verdicts.skip('not an IKE message')
      else verdicts.settle(path, id, () => judgeDatagram(message))
    }
  } else throw new BrokenFormat(`${path} has no IKE messages`)
}

function judgeCapture(path: string, contents: Uint8Array, verdicts: Verdicts): void {
  const read: string[] = []
  for (const frame of framesOf(contents)) {
    const message = frame && messageOf(frame)
    if (message === undefined) {
      verdicts.skip('not an IKE message')
      continue
    }
    verdicts.settle(path, `frame ${frame!.number}`, () => judgeDatagram(message))
    const numbers = numbersOf(message) ?? loneNumbers(message)
    if (numbers?.major === 2) read.push(describeIke(numbers.major, numbers.minor, numbers.messageId))
  }
  for (const { name, lines } of printedIke(path)) {
    verdicts.settle(path, `beside ${name}`, () =>
      lines.join('\n') === read.join('\n') ? undefined : `tcpdump printed ${lines.join('; ')}, but read was ${read.join('; ')}`,
    )
  }
}

/** Of a header that we refuse (it has no initiator) and tcpdump prints. */
function loneNumbers(message: Uint8Array): ReturnType<typeof numbersOf> {
  if (message.length < 28) return undefined
  const filled = message.slice()
  filled[0] = 1
  return numbersOf(filled)
}

/** The IKE message of a UDP datagram: bare on port 500, behind the non-ESP marker on 4500. */
export function messageOf({ ports, payload }: Pick<Frame, 'ports' | 'payload'>): Uint8Array | undefined {
  if (ports === undefined) return undefined
  if (ports.includes(500)) return payload
  return ports.includes(4500) && classify(payload) === 'ike' ? payload.subarray(NON_ESP_MARKER.length) : undefined
}
