import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { checkFingerprint, decodeStun, stunAttribute, StunAttributeType as Type } from '#shared/wire/stun.ts'
import { decodeStunAddress } from '#shared/wire/stun-address.ts'
import { isFields, isFieldsArray, textField } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'
import { judgeParser } from './corpus.ts'

/** scapy's stun.uts: `{cases: [{name, hex: [hex], asserts: [Python]}]}`. What the assertions state is looked for in their text. */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) && isFieldsArray(contents.cases) && contents.cases.some((fields) => Array.isArray(fields.asserts))

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.cases)) throw new BrokenFormat(`${path} has no cases`)
  for (const fields of contents.cases) {
    const packets = Array.isArray(fields.hex) ? fields.hex : [fields.hex]
    const claims = Array.isArray(fields.asserts) ? fields.asserts.join('\n') : ''
    for (const packet of packets)
      verdicts.settle(path, textField(fields, 'name'), () => judgeClaims(fromHex(String(packet)), claims))
  }
}

function judgeClaims(bytes: Uint8Array, claims: string): string | undefined {
  const message = decodeStun(bytes)
  const find = (pattern: RegExp): string | undefined => pattern.exec(claims)?.[1]
  const hidden = stunAttribute(message, Type.XorMappedAddress)
  const mapped = hidden && decodeStunAddress(hidden, message.transactionId)
  const expectations: readonly [what: string, stated: string | undefined, found: string][] = [
    [
      'type',
      find(/"Binding ([a-z ]+)"/),
      message.class.replace('success', 'success response').replace('error', 'error response'),
    ],
    ['length', find(/length == (\d+)\n/), String(bytes.length - 20)],
    ['transaction id', find(/transaction_id == 0x([0-9a-f]+)/), toHex(message.transactionId)],
    ['username', find(/username="([^"]*)"/), text(stunAttribute(message, Type.Username))],
    ['address', find(/xip(?:=| == )"([^"]+)"/), mapped?.address ?? 'none'],
    ['port', find(/xport(?:=| == )(\d+)/), String(mapped?.port)],
    ['integrity', find(/hmac_sha1=0x([0-9a-f]+)/), hex(stunAttribute(message, Type.MessageIntegrity))],
    ['fingerprint', find(/(crc_32)=/) && 'valid', checkFingerprint(bytes)],
  ]
  for (const [what, stated, found] of expectations)
    if (stated !== undefined && stated !== found) return `the ${what} is read as ${found}, not ${stated}`
  return judgeParser(bytes)
}

const text = (bytes: Uint8Array | undefined): string => (bytes ? new TextDecoder().decode(bytes) : 'none')
const hex = (bytes: Uint8Array | undefined): string => (bytes ? toHex(bytes) : 'none')
