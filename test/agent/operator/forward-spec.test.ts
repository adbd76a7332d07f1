import assert from 'node:assert/strict'
import test from 'node:test'
import { parseForward } from '#agent/operator/forward-spec.ts'

test('forwards as ssh -L writes them', () => {
  const rows: [text: string, bind: string, port: number, hostPort: number][] = [
    ['8080:80', '127.0.0.1', 8080, 80],
    ['8080:localhost:80', '127.0.0.1', 8080, 80],
    ['0:127.0.0.1:80', '127.0.0.1', 0, 80],
    ['127.0.0.1:8080:80', '127.0.0.1', 8080, 80],
    ['[::1]:8080:[::1]:80', '::1', 8080, 80],
    ['*:8080:localhost:80', '::', 8080, 80],
    ['localhost:8080:localhost:80', '127.0.0.1', 8080, 80],
  ]
  for (const [text, bind, port, hostPort] of rows) assert.deepEqual(parseForward(text), { bind, port, hostPort }, text)
})

test('forwards that make no sense, or lead beyond the device, are refused', () => {
  for (const text of [
    '',
    '80',
    'a:b',
    '8080:80:x',
    '70000:80',
    '8080:0',
    '8080:192.168.1.1:80',
    '8080:router:80',
    '1:2:3:4:5',
    '8080:\u001b[31m:1',
  ])
    assert.throws(
      () => parseForward(text),
      (error: Error & { code: string }) => error.code === 'usage' && !error.message.includes('\u001b'),
      text,
    )
})
