import assert from 'node:assert/strict'
import test from 'node:test'
import { classify, type DatagramKind } from '#shared/wire/demux.ts'

const bytes = (length: number, ...first: number[]): Uint8Array => {
  const out = new Uint8Array(length)
  out.set(first)
  return out
}

const rows: readonly [DatagramKind, string, Uint8Array][] = [
  ['keepalive', 'one byte FF', bytes(1, 0xff)],
  ['unknown', 'one other byte', bytes(1, 0x00)],
  ['unknown', 'nothing', bytes(0)],
  ['esp', 'two bytes FF FF and more', bytes(40, 0xff, 0xff)],
  ['ike', 'the non-ESP marker', bytes(32, 0, 0, 0, 0)],
  ['unknown', 'the marker and less than an IKE header', bytes(31, 0, 0, 0, 0)],
  ['wireguard-handshake', 'an initiation', bytes(148, 1)],
  ['unknown', 'an initiation cut', bytes(147, 1)],
  ['unknown', 'an initiation with more', bytes(149, 1)],
  ['wireguard-handshake', 'a response', bytes(92, 2)],
  ['unknown', 'a response of 148', bytes(148, 2)],
  ['wireguard-handshake', 'a cookie reply', bytes(64, 3)],
  ['unknown', 'a cookie reply of 92', bytes(92, 3)],
  ['wireguard-data', 'an empty packet', bytes(32, 4)],
  ['unknown', 'data without authenticator', bytes(31, 4)],
  ['wireguard-data', 'a large packet', bytes(1452, 4)],
  ['unknown', 'type 5', bytes(148, 5)],
  ['unknown', 'type 1 with a reserved bit', bytes(148, 1, 0, 1)],
  ['stun', 'a binding request', bytes(20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42)],
  ['stun', 'a success response', bytes(32, 1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42)],
  ['unknown', 'STUN with another cookie', bytes(20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43)],
  ['unknown', 'STUN of no multiple of 4', bytes(22, 0, 1, 0, 2, 0x21, 0x12, 0xa4, 0x42)],
  ['unknown', 'a top bit pattern 01 (TURN channel)', bytes(20, 0x40, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42)],
  ['esp', 'an SPI with the top bit', bytes(52, 0x80)],
  ['unknown', 'too short for ESP', bytes(19, 0x80)],
]

test('the first bytes decide (DESIGN D2)', () => {
  for (const [kind, what, datagram] of rows) assert.equal(classify(datagram), kind, what)
})

test('every datagram of up to 64 bytes has a kind, whatever its first five bytes', () => {
  for (let first = 0; first < 256; first++)
    for (const length of [0, 1, 19, 20, 31, 32, 64])
      assert.equal(typeof classify(bytes(length, ...[first].slice(0, length))), 'string')
})
