import assert from 'node:assert/strict'
import { toHex } from '#shared/bytes/hex.ts'
import type { ChildSaKeys } from '#shared/ikev2/ike-output.ts'
import type { TwoEnds } from './two-ends.ts'

/** Both ends have one IKE SA with the same SPIs, and one Child SA with the same keys, which both send with. */
export function assertWorking({ a, b }: TwoEnds): void {
  assert.equal(a.ike.state, 'established')
  assert.equal(b.ike.state, 'established')
  assert.deepEqual([a.ike.localSpis.length, b.ike.localSpis.length], [1, 1], 'one IKE SA at either end')
  assert.deepEqual([a.installed.size, b.installed.size], [1, 1], 'one Child SA at either end')
  const [ofA] = a.installed.values()
  const [ofB] = b.installed.values()
  assert.deepEqual(keysOf(ofA!.inbound), keysOf(ofB!.outbound))
  assert.deepEqual(keysOf(ofA!.outbound), keysOf(ofB!.inbound))
  assert.equal(a.sendsWith, ofA!.inbound.spi)
  assert.equal(b.sendsWith, ofB!.inbound.spi)
  assert.deepEqual([a.reservedSpis.size, b.reservedSpis.size], [0, 0], 'no SPI is left reserved')
}

const keysOf = ({ spi, encryption, integrity }: ChildSaKeys['inbound']): unknown => ({
  spi,
  encryption: toHex(encryption),
  integrity: toHex(integrity),
})
