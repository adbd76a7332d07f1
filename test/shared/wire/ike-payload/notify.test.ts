import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { NotifyType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

const hash = '730f46ef2fd40d26b51b2b28cea12196b4ce72f5'

testForm('NAT_DETECTION_SOURCE_IP', {
  type: 41,
  body: `00 00 4004 ${hash}`,
  payload: { kind: 'notify', protocol: 0, spi: new Uint8Array(0), type: NotifyType.NatDetectionSourceIp, data: fromHex(hash) },
})

testForm('REKEY_SA', {
  type: 41,
  body: '03 04 4009 d12f6e63',
  payload: {
    kind: 'notify',
    protocol: ProtocolId.Esp,
    spi: fromHex('d12f6e63'),
    type: NotifyType.RekeySa,
    data: new Uint8Array(0),
  },
})

test('A-19 an SPI that is longer than its payload is refused', () => {
  assert.equal(refusal(41, '03 05 000b d12f6e63'), 'short')
  assert.equal(refusal(41, '03 ff 000b d12f6e63'), 'short')
})

test('A-18 data of the wrong length is refused where the notification has a length', () => {
  const rows: readonly [type: number, taken: readonly number[], refused: readonly number[]][] = [
    [NotifyType.UnsupportedCriticalPayload, [1], [0, 2]],
    [NotifyType.InvalidKePayload, [2], [0, 1, 3]],
    [NotifyType.SetWindowSize, [4], [0, 3, 5]],
    [NotifyType.NatDetectionSourceIp, [20], [0, 19, 21, 32]],
    [NotifyType.NatDetectionDestinationIp, [20], [0, 19, 21, 32]],
    [NotifyType.Cookie, [1, 64], [0, 65]],
    [NotifyType.Cookie2, [8, 64], [0, 7, 65]],
    [NotifyType.AdditionalIp4Address, [4], [0, 3, 16]],
    [NotifyType.AdditionalIp6Address, [16], [0, 4, 17]],
    [NotifyType.AuthLifetime, [4], [0, 3, 8]],
    [NotifyType.SignatureHashAlgorithms, [2, 8], [0, 1, 3]],
    [NotifyType.TicketLtOpaque, [5, 300], [0, 4]],
    [NotifyType.NoProposalChosen, [0, 7], []],
    [50_000, [0, 1000], []],
  ]
  const body = (type: number, length: number): string => `0000${type.toString(16).padStart(4, '0')}${'5a'.repeat(length)}`
  for (const [type, taken, refused] of rows) {
    for (const length of taken) assert.equal(refusal(41, body(type, length)), 'taken', `${type}: ${length}`)
    for (const length of refused) assert.equal(refusal(41, body(type, length)), 'ike-notify', `${type}: ${length}`)
  }
  assert.equal(refusal(41, '03 00 4009'), 'ike-notify', 'REKEY_SA without an SPI')
  assert.equal(refusal(41, '03 08 4009 0102030405060708'), 'ike-notify', 'REKEY_SA of eight bytes')
})
