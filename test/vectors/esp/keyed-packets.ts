import { concat } from '#shared/bytes/concat.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { espTransform } from '#shared/tunnel/esp-transform.ts'
import { checkTrailer, ESP_HEADER_LENGTH, EspNextHeader, espNextHeaderOf, espSequenceOf, espSpiOf } from '#shared/wire/esp.ts'
import type { Transform } from '#shared/wire/ike-payload/payload.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, hexField, isFields, isFieldsArray, numberField, optionalHex, optionalText, textField } from '../fields.ts'
import { reasonName } from '../reason-name.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'
import { encryptionNamed, integrityNamed, pairRefusal } from './algorithms.ts'

/**
 * Whole ESP packets with keys, in three formats: Linux xfrm (`{cases: [{crypt, key, auth, esp, plaintextWithTrailer}]}`), RFC 7634
 * appendix A (`{key, salt, innerPacket, esp}`) and Wireshark's captures (`{sas, frames: [{esp, plaintext, nextHeader}]}`). Each is opened
 * by the transform of the data path, its trailer checked, and sealed again under its own IV to the same bytes.
 */
export const recognises = (_path: string, contents: unknown): boolean => packetsIn(contents) !== undefined

interface Packet {
  readonly id: string
  readonly esp: Uint8Array
  readonly cipher: string
  readonly mac: string
  /** With the salt, where the cipher has one. */
  readonly key: Uint8Array
  readonly integrityKey: Uint8Array
  readonly spi: number
  readonly sequence: number | undefined
  /** High word of a 64-bit sequence number; undefined: 32 bits. */
  readonly high: number | undefined
  /** Payload and trailer. */
  readonly plaintext: Uint8Array
  readonly inner: Uint8Array | undefined
  readonly nextHeader: number
}

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  const packets = packetsIn(contents)
  if (packets === undefined) throw new BrokenFormat(`${path} has no ESP packets with keys`)
  for (const packet of packets) {
    verdicts.settle(path, `${packet.id} header and trailer`, () => judgeForm(packet))
    const mac = integrityNamed(packet.mac)
    const cipher = encryptionNamed(packet.cipher, packet.key.length - saltLength(packet.cipher))
    const refusal = pairRefusal(cipher, mac, `${packet.cipher} with ${packet.mac}`)
    if (refusal !== undefined) verdicts.skip(refusal)
    else verdicts.settle(path, packet.id, () => underBoth((suite) => judgeCipher(suite, packet, cipher!, mac!)))
  }
}

function packetsIn(contents: unknown): Packet[] | undefined {
  if (!isFields(contents)) return undefined
  const { cases, sas, frames } = contents
  if (
    isFieldsArray(cases) &&
    cases.length > 0 &&
    cases.every((one) => typeof one.crypt === 'string' && typeof one.esp === 'string')
  )
    return cases.map(linuxPacket)
  if (isFieldsArray(sas) && isFieldsArray(frames)) return frames.map((frame) => capturedPacket(sas, frame))
  return typeof contents.esp === 'string' && typeof contents.innerPacket === 'string' ? [rfc7634Packet(contents)] : undefined
}

const linuxPacket = (one: Fields): Packet => ({
  id: textField(one, 'name'),
  esp: hexField(one, 'esp'),
  cipher: gcmName(textField(one, 'crypt'), one),
  mac: textField(one, 'auth'),
  key: hexField(one, 'key'),
  integrityKey: optionalHex(one, 'authKey', 'auth_key', 'integKey') ?? new Uint8Array(0),
  spi: Number.parseInt(textField(one, 'spi'), 16),
  sequence: numberField(one, 'seq'),
  high: one.esnHigh === undefined || one.esnHigh === null ? undefined : Number(one.esnHigh),
  plaintext: hexField(one, 'plaintextWithTrailer'),
  inner: undefined,
  nextHeader: EspNextHeader.Ipv4,
})

/** xfrm gives the length of the ICV apart from the cipher's name. */
const gcmName = (crypt: string, one: Fields): string =>
  /GCM|CCM/.test(crypt) ? `${crypt} with ${numberField(one, 'icvLen')} octet ICV` : crypt

const rfc7634Packet = (one: Fields): Packet => ({
  id: optionalText(one, 'source') ?? 'the packet',
  esp: hexField(one, 'esp'),
  cipher: 'CHACHA20-POLY1305',
  mac: 'none',
  key: concat(hexField(one, 'key'), hexField(one, 'salt')),
  integrityKey: new Uint8Array(0),
  spi: Number.parseInt(textField(one, 'spi'), 16),
  sequence: numberField(one, 'seq'),
  high: undefined,
  plaintext: hexField(one, 'plaintextWithTrailer'),
  inner: hexField(one, 'innerPacket'),
  nextHeader: EspNextHeader.Ipv4,
})

function capturedPacket(sas: readonly Fields[], frame: Fields): Packet {
  const esp = hexField(frame, 'esp')
  const sa = sas.find((one) => Number(textField(one, 'spi')) === espSpiOf(esp))
  if (sa === undefined) throw new BrokenFormat(`frame ${String(frame.frame)} belongs to no SA of the file`)
  return {
    id: `frame ${numberField(frame, 'frame')}`,
    esp,
    cipher: textField(sa, 'encr'),
    mac: textField(sa, 'integ'),
    key: fromHex(textField(sa, 'encKey').replace(/^0x/, '')),
    integrityKey: fromHex(textField(sa, 'integKey').replace(/^0x/, '')),
    spi: Number(textField(sa, 'spi')),
    sequence: undefined,
    high: undefined,
    plaintext: hexField(frame, 'plaintext'),
    inner: undefined,
    nextHeader: numberField(frame, 'nextHeader'),
  }
}

/** Bytes of a key that are salt: what the name's algorithm takes from its end. */
const saltLength = (cipher: string): number => (/CCM/.test(cipher) ? 3 : /GCM|GMAC|CTR|CHACHA/i.test(cipher) ? 4 : 0)

function judgeForm({ esp, spi, sequence, plaintext, inner, nextHeader }: Packet): string | undefined {
  if (espSpiOf(esp) !== spi) return `its SPI is read as ${espSpiOf(esp)}`
  if (sequence !== undefined && espSequenceOf(esp) !== sequence) return `its sequence number is read as ${espSequenceOf(esp)}`
  const length = checkTrailer(plaintext, plaintext.length)
  if (length < 0) return 'its trailer is refused'
  if (espNextHeaderOf(plaintext, plaintext.length) !== nextHeader) return 'its next header is read as another'
  if (inner !== undefined && !equalPublic(plaintext.subarray(0, length), inner)) return 'its payload is read as another'
  return undefined
}

function judgeCipher(suite: Suite, packet: Packet, cipher: Transform, mac: Transform): string | undefined {
  const { esp, plaintext, high = 0 } = packet
  const keys = { spi: packet.spi, encryption: packet.key, integrity: packet.integrityKey }
  const algorithms = { encryption: cipher.id, keyLength: cipher.keyLength, integrity: mac.id }
  const transform = espTransform(suite, algorithms, keys, packet.high !== undefined)
  const out = new Uint8Array(esp.length)
  const length = transform.open(esp, high, out)
  if (length < 0) return `it was refused: ${reasonName(length)}`
  if (!equalPublic(out.subarray(0, length), plaintext)) return `it opened to ${toHex(out.subarray(0, length))}`
  for (let at = 0; at < esp.length; at += 7) {
    const forged = esp.slice()
    forged[at]! ^= 1
    if (transform.open(forged, high, out) >= 0) return `it opens with byte ${at} changed`
  }
  const again = new Uint8Array(esp.length)
  const body = ESP_HEADER_LENGTH + transform.ivLength
  again.set(esp.subarray(0, body))
  again.set(plaintext, body)
  const sealed = transform.protect(again, body + plaintext.length, high)
  return sealed === esp.length && equalPublic(again, esp) ? undefined : `sealed again it became ${toHex(again)}`
}
