import assert from 'node:assert/strict'
import test from 'node:test'
import { labelOf, readLabelUrl, serialOfScan } from '#agent/station/labels/label.ts'
import type { UnitRecord } from '#agent/station/unit-desk.ts'
import { AditError } from '#shared/errors.ts'
import { pairing, unit } from './labelled-unit.ts'

test('a label says serial, name and the whole fingerprint, and a scanner reads them back', () => {
  const label = labelOf(unit, pairing)
  assert.deepEqual(readLabelUrl(label.url), { serial: unit.serial, name: unit.name, fingerprint: unit.spkiSha256 })
  assert.equal(label.shortFingerprint, '0001 0203 0405 0607 0809 0a0b 0c0d 0e0f')
  assert.equal(new URL(label.url).origin, 'https://broker.example.com:8443')
  assert.equal(serialOfScan(`  ${label.url}\n`), unit.serial)
  assert.equal(serialOfScan('10000000a1b2c3d4\n'), '10000000a1b2c3d4')
})

test('a serial with the signs that a fragment uses for itself is read back whole', () => {
  const serial = 'a:b._-c'
  assert.equal(readLabelUrl(labelOf({ ...unit, serial }, pairing).url)?.serial, serial)
})

test('what is not our label is not read as one', () => {
  const { url } = labelOf(unit, pairing)
  for (const text of [
    '',
    'https://example.com/',
    url.replace('https:', 'http:'),
    url.slice(0, -1),
    url.replace('&s=', '&t='),
    `${url}${'x'.repeat(1_024)}`,
  ])
    assert.equal(readLabelUrl(text), undefined, text)
})

const steps: [UnitRecord['step'], boolean][] = [
  ['opened', false],
  ['issued', true],
  ['writing', true],
  ['verifying', true],
  ['delivered', true],
  ['labelled', true],
  ['failed', false],
  ['scrapped', false],
]
for (const [step, has] of steps)
  test(`a unit that is ${step} ${has ? 'has a label' : 'has none'}`, () => {
    if (has) assert.equal(labelOf({ ...unit, step }, pairing).fingerprint, unit.spkiSha256)
    else assert.throws(() => labelOf({ ...unit, step }, pairing), { code: 'label-refused' })
  })

test('why there is no label says what can be done about it', () => {
  const why = (step: UnitRecord['step']): AditError => {
    try {
      labelOf({ ...unit, step }, pairing)
    } catch (error) {
      if (error instanceof AditError) return error
    }
    throw new Error(`${step} has a label`)
  }
  assert.match(why('failed').message, /was not delivered/)
  assert.match(why('failed').mend, new RegExp(`adit station retry ${unit.serial} --into`))
  assert.match(why('scrapped').message, /was scrapped/)
  assert.doesNotMatch(why('scrapped').mend, /provision|retry/i)
})

test('a record without a certificate, or with a fingerprint that is none, has no label', () => {
  const { certificateSerial: _, ...uncertified } = unit
  assert.throws(() => labelOf(uncertified, pairing), { code: 'label-refused' })
  assert.throws(() => labelOf({ ...unit, spkiSha256: '00ff' }, pairing), { code: 'label-refused' })
})
