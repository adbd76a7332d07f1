import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex } from '#shared/bytes/hex.ts'
import { Encryption, Esn, Integrity, KeyExchangeMethod, Prf, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import { refusal, testForm } from './payload-form.ts'

const SA = 33

testForm('SA of an IKE_SA_INIT', {
  type: SA,
  body: `02 00 0024 01 01 00 03
           03 00 000c 01 00 0014 800e 0100
           03 00 0008 02 00 0005
           00 00 0008 04 00 0013
         00 00 002c 02 01 00 04
           03 00 000c 01 00 000c 800e 0080
           03 00 0008 03 00 000c
           03 00 0008 02 00 0007
           00 00 0008 04 00 001f`,
  payload: {
    kind: 'sa',
    proposals: [
      {
        number: 1,
        protocol: ProtocolId.Ike,
        spi: new Uint8Array(0),
        transforms: [
          { type: TransformType.Encryption, id: Encryption.AesGcm16, keyLength: 256 },
          { type: TransformType.Prf, id: Prf.HmacSha256 },
          { type: TransformType.KeyExchange, id: KeyExchangeMethod.EcpP256 },
        ],
      },
      {
        number: 2,
        protocol: ProtocolId.Ike,
        spi: new Uint8Array(0),
        transforms: [
          { type: TransformType.Encryption, id: Encryption.AesCbc, keyLength: 128 },
          { type: TransformType.Integrity, id: Integrity.HmacSha256_128 },
          { type: TransformType.Prf, id: Prf.HmacSha512 },
          { type: TransformType.KeyExchange, id: KeyExchangeMethod.Curve25519 },
        ],
      },
    ],
  },
  // Reserved: one byte of each proposal and two of each transform.
  ignored: [1, 9, 13, 21, 25, 29, 33, 37].map((offset) => [offset, 0xff]),
})

testForm('SA of a Child SA', {
  type: SA,
  body: '00 00 0020 01 03 04 02 d12f6e63   03 00 000c 01 00 000c 800e 0100   00 00 0008 05 00 0001',
  payload: {
    kind: 'sa',
    proposals: [
      {
        number: 1,
        protocol: ProtocolId.Esp,
        spi: fromHex('d12f6e63'),
        transforms: [
          { type: TransformType.Encryption, id: Encryption.AesCbc, keyLength: 256 },
          { type: TransformType.Esn, id: Esn.Yes },
        ],
      },
    ],
  },
})

const transform = '00 00 0008 05 00 0001'

test('A-18 an SA without proposals, and a proposal without transforms, are refused', () => {
  assert.equal(refusal(SA, ''), 'short')
  assert.equal(refusal(SA, '00 00 0008 01 01 00 00'), 'ike-proposal')
  assert.equal(refusal(SA, `00 00 0010 01 01 00 02 ${transform}`), 'ike-transform')
})

test('A-18 more proposals than anybody offers are refused', () => {
  const proposal = (last: boolean, number: number): string =>
    `${last ? '00' : '02'}000010${number.toString(16).padStart(2, '0')}010001${transform}`
  const many = (count: number): string => Array.from({ length: count }, (_, i) => proposal(i === count - 1, i + 1)).join('')
  assert.equal(refusal(SA, many(32)), 'taken')
  assert.equal(refusal(SA, many(33)), 'ike-proposals')
})

test('A-19 lengths, counts and marks that contradict one another are refused', () => {
  const ike = (length: string, rest: string): string => `00 00 ${length} 01 01 00 01 ${rest}`
  assert.equal(refusal(SA, ike('0010', transform)), 'taken')
  assert.equal(refusal(SA, ike('0000', transform)), 'ike-proposal')
  assert.equal(refusal(SA, ike('0007', transform)), 'ike-proposal')
  assert.equal(refusal(SA, ike('000f', transform)), 'short')
  assert.equal(refusal(SA, ike('0011', transform)), 'short')
  assert.equal(refusal(SA, ike('0011', `${transform} 00`)), 'trailing')
  assert.equal(refusal(SA, `${ike('0010', transform)} 00`), 'trailing')
  assert.equal(refusal(SA, ike('0010', '00 00 0000 05 00 0001')), 'ike-transform')
  assert.equal(refusal(SA, ike('0010', '00 00 0007 05 00 0001')), 'ike-transform')
  assert.equal(refusal(SA, ike('0010', '00 00 0009 05 00 0001')), 'short')
  assert.equal(refusal(SA, ike('0010', '03 00 0008 05 00 0001')), 'ike-transform')
  assert.equal(refusal(SA, ike('0010', '02 00 0008 05 00 0001')), 'ike-transform')
  assert.equal(refusal(SA, `01 00 0010 01 01 00 01 ${transform}`), 'ike-proposal')
  assert.equal(refusal(SA, `02 00 0010 01 01 00 01 ${transform}`), 'short')
})

test('numbers of proposals rise, since the answer names one by its number', () => {
  const two = (a: number, b: number): string => `02 00 0010 0${a} 01 00 01 ${transform} 00 00 0010 0${b} 01 00 01 ${transform}`
  assert.equal(refusal(SA, two(1, 2)), 'taken')
  assert.equal(refusal(SA, two(1, 1)), 'ike-proposal')
  assert.equal(refusal(SA, two(2, 1)), 'ike-proposal')
  assert.equal(refusal(SA, two(0, 1)), 'ike-proposal')
})

test('an SPI is as long as its protocol has it', () => {
  const proposal = (protocol: string, spi: string): string => {
    const size = spi.length / 2
    return `00 00 00${(16 + size).toString(16)} 01 ${protocol} 0${size} 01 ${spi} ${transform}`
  }
  assert.equal(refusal(SA, proposal('01', '')), 'taken')
  assert.equal(refusal(SA, proposal('01', '0102030405060708')), 'taken')
  assert.equal(refusal(SA, proposal('01', '01020304')), 'ike-proposal')
  assert.equal(refusal(SA, proposal('03', '80000001')), 'taken')
  assert.equal(refusal(SA, proposal('03', '')), 'ike-proposal')
  assert.equal(refusal(SA, proposal('03', '0102030405060708')), 'ike-proposal')
  assert.equal(refusal(SA, proposal('09', '0102')), 'taken', 'a protocol that we do not know is for who chooses')
})
