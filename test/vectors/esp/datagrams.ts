import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { equalPublic } from '#shared/bytes/equal.ts'
import { ESP_HEADER_LENGTH, espSequenceOf, espSpiOf, putEspHeader } from '#shared/wire/esp.ts'
import { type Fields, hexField, isFields, isFieldsArray, numberField, textField } from '../fields.ts'
import { messageOf } from '../ike/datagrams.ts'
import { type Frame, framesOf, isCapture } from '../pcap.ts'
import { describeEsp, printedEsp } from '../tcpdump-text.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'

/**
 * ESP packets as they were caught: captures, and `{packets: [{file, frame, esp | udpPayload}]}` lifted from them. The header of each is
 * read and written again; where tcpdump's text of a capture lies beside it, SPIs and sequence numbers must be the printed ones. Contents
 * are skipped: tcpdump's keys (`esp-secrets.txt`) are of algorithms that we refuse, and other captures have none.
 */
export function recognises(_path: string, contents: unknown): boolean {
  if (isCapture(contents)) return framesOf(contents).some((frame) => frame !== undefined && espOf(frame) !== undefined)
  return isPackets(contents) && contents.packets.some((packet) => espOfPacket(packet) !== undefined)
}

const isPackets = (contents: unknown): contents is { packets: readonly Fields[] } =>
  isFields(contents) && isFieldsArray(contents.packets) && contents.packets.every((packet) => typeof packet.file === 'string')

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (isCapture(contents)) judgeCapture(path, contents, verdicts)
  else if (isPackets(contents)) {
    for (const packet of contents.packets) {
      const esp = espOfPacket(packet)
      judgeOne(path, `${textField(packet, 'file')} ${numberField(packet, 'frame')}`, esp, verdicts)
    }
  } else throw new BrokenFormat(`${path} has no ESP packets`)
}

function judgeCapture(path: string, contents: Uint8Array, verdicts: Verdicts): void {
  const read: string[] = []
  for (const [index, frame] of framesOf(contents).entries()) {
    const esp = frame && espOf(frame)
    judgeOne(path, `frame ${index + 1}`, esp, verdicts)
    if (esp !== undefined) read.push(describeEsp(espSpiOf(esp), espSequenceOf(esp)))
  }
  for (const { name, lines } of printedEsp(path)) {
    verdicts.settle(path, `beside ${name}`, () =>
      lines.join('\n') === read.join('\n') ? undefined : `tcpdump printed ${lines.join('; ')}, but read was ${read.join('; ')}`,
    )
  }
}

function judgeOne(path: string, id: string, esp: Uint8Array | undefined, verdicts: Verdicts): void {
  if (esp === undefined) {
    verdicts.skip('not an ESP packet')
    return
  }
  verdicts.settle(path, id, () => {
    const header = new Uint8Array(ESP_HEADER_LENGTH)
    putEspHeader(header, espSpiOf(esp), espSequenceOf(esp))
    return equalPublic(header, esp.subarray(0, ESP_HEADER_LENGTH)) ? undefined : 'its header was written again as another'
  })
  const secret = secretsBeside(path).get(espSpiOf(esp))
  verdicts.skip(
    secret === undefined ? 'content of an ESP packet without key' : `content of an ESP packet under ${secret}: refused`,
  )
}

/** Right in IP, or in UDP on port 4500 where it is neither IKE nor a keepalive. */
function espOf({ ports, payload }: Pick<Frame, 'ports' | 'payload'>): Uint8Array | undefined {
  if (ports !== undefined && (!ports.includes(4500) || messageOf({ ports, payload }) !== undefined)) return undefined
  return payload.length > ESP_HEADER_LENGTH ? payload : undefined
}

function espOfPacket(packet: Fields): Uint8Array | undefined {
  if (typeof packet.esp === 'string') return hexField(packet, 'esp')
  if (typeof packet.udpPayload !== 'string') return undefined
  return espOf({ ports: [numberField(packet, 'sport'), numberField(packet, 'dport')], payload: hexField(packet, 'udpPayload') })
}

/** tcpdump's lines `0xSPI@ADDRESS algorithm:0xKEY`: the algorithm of each SPI. */
function secretsBeside(path: string): Map<number, string> {
  const file = join(dirname(path), 'esp-secrets.txt')
  const secrets = new Map<number, string>()
  if (!existsSync(file)) return secrets
  for (const [, spi, algorithm] of readFileSync(file, 'utf8').matchAll(/^0x([0-9a-f]+)@\S+\s+([\w-]+):/gim))
    secrets.set(Number.parseInt(spi!, 16), algorithm!)
  return secrets
}
