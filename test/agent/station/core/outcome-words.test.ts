import assert from 'node:assert/strict'
import test from 'node:test'
import { batchText, deliveredText } from '#agent/station/core/outcome-words.ts'
import type { UnitRecord } from '#agent/station/unit-desk.ts'
import { AditError } from '#shared/errors.ts'

const record: UnitRecord = { serial: 'cpu-1', name: 'pump-1', way: 'image', step: 'delivered', attempts: 1, openedAt: 0 }

test('the end of a batch has a line for each board that failed, and the whole command that tries them again', () => {
  const error = new AditError('card-refused', 'This card is \u{1b}[31mfull.', 'Take another card.')
  const failed = [
    { serial: 'cpu-1', error, retry: true },
    { serial: 'cpu-2', error, retry: false },
  ]
  assert.equal(
    batchText(3, failed, { into: "/srv/o'neil/{serial}" }),
    [
      '3 delivered, 2 failed.',
      '  cpu-1  card-refused: This card is \\u{1b}[31mfull. Take another card.',
      '  cpu-2  card-refused: This card is \\u{1b}[31mfull. Take another card.',
      "Again: adit station batch --retry --into '/srv/o'\\''neil/{serial}'",
      '',
    ].join('\n'),
  )
  assert.match(batchText(0, failed, { serial: '/dev/ttyUSB0' }), /--retry --serial \/dev\/ttyUSB0\n$/)
  assert.match(batchText(0, failed, { network: true }), /--retry --network\n$/)
})

test('what --retry would not find again is not sent there', () => {
  const error = new AditError('name-invalid', 'The name is not allowed.', 'Choose another.')
  assert.doesNotMatch(batchText(0, [{ serial: 'cpu-1', error, retry: false }], { into: 'x' }), /Again/)
  assert.equal(batchText(2, [], { into: 'x' }), '2 delivered, 0 failed.\n')
})

test('of a card that was delivered before it is said that nothing was written now', () => {
  assert.equal(deliveredText(record, false, { into: '/media/boot' }), 'cpu-1 is pump-1.\n')
  const again = deliveredText(record, true, { into: '/media/boot' })
  assert.match(again, /^cpu-1 is pump-1, delivered before\. Nothing was written now.*--by cpu-1-b .*--into \/media\/boot\n$/)
  assert.equal(deliveredText({ ...record, way: 'network' }, true, { network: true }), 'cpu-1 is pump-1, delivered before.\n')
})
