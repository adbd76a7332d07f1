import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '#shared/time/instant.ts'
import type { EspSession } from '#shared/tunnel/esp-session.ts'
import { EspSlots } from '#shared/tunnel/esp-slots.ts'
import { SelectorGate } from '#shared/tunnel/selector-gate.ts'
import { packetBetween } from './esp-link.ts'
import { selector } from './esp-pair.ts'

/** As much of a Child SA as slots look at. */
const child = (inboundSpi: number, remote = '::/0') =>
  ({ inboundSpi, gate: new SelectorGate([selector('::/0')], [selector(remote)]) }) as EspSession

function slotsOf() {
  const gone: number[] = []
  return { gone, slots: new EspSlots<EspSession>(({ inboundSpi }) => gone.push(inboundSpi)) }
}

test('installed, used, replaced, retired, forgotten', () => {
  const { slots, gone } = slotsOf()
  const [first, second] = [child(1), child(2)]
  slots.install(first, undefined)
  assert.ok(slots.isWaiting && !slots.isSending)
  assert.ok(slots.use(1))
  assert.ok(!slots.use(1), 'no news')
  slots.install(second, 1)
  assert.equal(slots.current, first, 'the peer may not have it yet')
  assert.ok(slots.use(2))
  assert.equal(slots.current, second)
  assert.ok(!slots.sends(first))
  slots.retire(1, instant(0))
  assert.equal(slots.nextExpiry, 5_000)
  slots.expire(instant(4_999))
  assert.deepEqual(gone, [])
  slots.expire(instant(5_000))
  assert.deepEqual(gone, [1])
  assert.equal(slots.count, 1)
})

test('data on a Child SA that waits promotes it, where it is the youngest; and makes older ones no witnesses of the place', () => {
  const { slots } = slotsOf()
  const [first, second] = [child(1), child(2)]
  slots.install(first, undefined)
  slots.use(1)
  slots.install(second, 1)
  assert.ok(!slots.heard(first))
  assert.ok(slots.isLatest(first))
  assert.ok(slots.heard(second))
  assert.equal(slots.current, second)
  assert.ok(!slots.isLatest(first))
  assert.ok(!slots.heard(first), 'what has been replaced does not begin again')
  assert.equal(slots.current, second)
})

test('where the successor is deleted, the one that it replaced sends again', () => {
  const { slots } = slotsOf()
  slots.install(child(1), undefined)
  slots.use(1)
  slots.install(child(2), 1)
  slots.use(2)
  slots.retire(2, instant(0))
  assert.equal(slots.current?.inboundSpi, 1)
  slots.retire(1, instant(0))
  assert.ok(!slots.isSending)
})

test('several Child SAs side by side: each packet goes by the youngest that may carry it', () => {
  const { slots } = slotsOf()
  slots.install(child(1, 'fd00::62/128'), undefined)
  slots.use(1)
  slots.install(child(2, 'fd00::63/128'), undefined)
  slots.use(2)
  const via = (to: string): number | undefined => slots.forPacket(packetBetween('alice', to), 64)?.inboundSpi
  assert.equal(via('bob'), 1)
  assert.equal(via('carol'), 2)
  assert.equal(via('dave'), undefined)
  slots.install(child(3), undefined)
  slots.use(3)
  assert.equal(via('bob'), 3)
})

test('of two associations only the Child SAs of the one that stays send', () => {
  const { slots } = slotsOf()
  const [kept, closed] = [child(1), child(2)]
  slots.install(kept, undefined)
  slots.prefer((session) => session === kept)
  slots.install(closed, undefined)
  slots.use(2)
  slots.prefer((session) => session === kept)
  assert.equal(slots.current, closed, 'as long as the other has none that sends')
  slots.use(1)
  slots.prefer((session) => session === kept)
  assert.equal(slots.current, kept)
  slots.clear()
  assert.equal(slots.count, 0)
})
