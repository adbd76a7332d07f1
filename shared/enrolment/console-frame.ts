import { crc32 } from '#shared/wire/crc32.ts'

/**
 * A line of text by which a station and a board speak over a serial console, between boot messages, echoes and prompts:
 *
 *   @A1.SESSION.FROM.KIND.SEQ.MORE.PAYLOAD.CRC
 *
 * SESSION 8 hex digits, chosen by the station; FROM `S`tation or `B`oard (an end passes over its own echo); KIND `N` here I am (of the board),
 * `H`ello (of the station: a new session), `D`ata, `K` (it is taken); SEQ 4 hex digits; MORE `1` where the message goes on; PAYLOAD base64url;
 * CRC-32 of all before it, with its dot, 8 hex digits. A line ends with CR, LF or both.
 */
export interface ConsoleFrame {
  /** 0 to 2^32 - 1. */
  readonly session: number
  readonly from: 'S' | 'B'
  readonly kind: 'N' | 'H' | 'D' | 'K'
  /** 0 to 65,535. */
  readonly seq: number
  readonly more: boolean
  /** At most `payloadLimit` bytes. */
  readonly payload: Uint8Array
}

/** Bytes of a message in one frame: its line then fits into what a terminal takes in one (255 in POSIX, 4,095 in Linux). */
export const payloadLimit = 144

/** Longest line that is looked at, in characters; garbage may stand before the frame. */
const lineLimit = 1024

const pattern = /@A1\.([0-9a-f]{8})\.([SB])\.([NHDK])\.([0-9a-f]{4})\.([01])\.([A-Za-z0-9_-]*)\.([0-9a-f]{8})\s*$/

/** With line ends around it, so that what another program has half written does not become part of it. */
export function encodeFrame({ session, from, kind, seq, more, payload }: ConsoleFrame): string {
  const head = `@A1.${hex(session, 8)}.${from}.${kind}.${hex(seq, 4)}.${more ? 1 : 0}.${Buffer.from(payload).toString('base64url')}.`
  return `\r\n${head}${hex(checksum(head), 8)}\r\n`
}

/** The frame at the end of a line, or undefined: a damaged one is as lost as a missing one. */
export function decodeFrame(line: string): ConsoleFrame | undefined {
  const match = pattern.exec(line)
  if (match === null) return undefined
  const [whole, session, from, kind, seq, more, text, crc] = match as unknown as string[]
  const head = whole!.slice(0, whole!.lastIndexOf('.') + 1)
  if (Number.parseInt(crc!, 16) !== checksum(head)) return undefined
  const payload = new Uint8Array(Buffer.from(text!, 'base64url'))
  if (payload.length > payloadLimit) return undefined
  return {
    session: Number.parseInt(session!, 16),
    from: from as ConsoleFrame['from'],
    kind: kind as ConsoleFrame['kind'],
    seq: Number.parseInt(seq!, 16),
    more: more === '1',
    payload,
  }
}

/** Takes bytes as they come and finds the frames among them. */
export class FrameReader {
  #line = ''

  /** `bytes` are read as Latin-1: nothing that matters is outside ASCII. */
  read(bytes: Uint8Array): ConsoleFrame[] {
    const lines = (this.#line + Buffer.from(bytes).toString('latin1')).split(/[\r\n]+/)
    this.#line = lines.pop()!.slice(-lineLimit)
    return lines.flatMap((line) => decodeFrame(line.slice(-lineLimit)) ?? [])
  }
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')

const checksum = (text: string): number => crc32(Buffer.from(text, 'latin1'))
