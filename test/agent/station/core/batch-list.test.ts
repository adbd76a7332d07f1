import assert from 'node:assert/strict'
import test from 'node:test'
import { countedUnits, parseBatchList } from '#agent/station/core/batch-list.ts'

test('a list has one board a line, with a name where it has one', () => {
  const text = '\ufeffserial,name\r\nCPU-1, Pump-7\r\n\r\n# the rest have no names\n"cpu-2"\ncpu:3;\ncpu-4\tpump-9\n'
  assert.deepEqual(parseBatchList(text), [
    { serial: 'cpu-1', name: 'pump-7' },
    { serial: 'cpu-2' },
    { serial: 'cpu:3' },
    { serial: 'cpu-4', name: 'pump-9' },
  ])
})

test('a list that cannot be meant is refused by its line', () => {
  const refused: Record<string, RegExp> = {
    'a\nb\nA\n': /Line 3.*a stands in line 1/,
    'a,x\nb,X\n': /Line 2.*name x stands in line 1/,
    'a b\n': /Line 1.*no serial number/,
    'a,b,c\n': /Line 1.*more than/,
  }
  for (const [text, message] of Object.entries(refused)) assert.throws(() => parseBatchList(text), { code: 'usage', message })
})

test('boards that the line numbers itself', () => {
  assert.deepEqual(countedUnits('lot7-###', 2, 9), [{ serial: 'lot7-009' }, { serial: 'lot7-010' }])
})
