import assert from 'node:assert/strict'
import test from 'node:test'
import { isDeviceHost, parseDynamic, parseForward } from '#agent/operator/forward-spec.ts'

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

test('SOCKS proxies as ssh -D writes them, and which hosts are the device', () => {
  assert.deepEqual(parseDynamic('1080'), { bind: '127.0.0.1', port: 1080 })
  assert.deepEqual(parseDynamic('[::1]:0'), { bind: '::1', port: 0 })
  assert.deepEqual(parseDynamic('*:1080'), { bind: '::', port: 1080 })
  for (const text of ['', 'x', '70000', '1:2:3', '127.0.0.1:']) assert.throws(() => parseDynamic(text), { code: 'usage' }, text)
  const pump = { name: 'pump-7', addresses: ['fd00::7', '100.64.0.7'] }
  for (const host of ['pump-7', 'PUMP-7', 'pump-7.', 'pump-7.adit', 'localhost', '127.0.0.1', '::1', 'fd00::7', '100.64.0.7'])
    assert.ok(isDeviceHost(host, pump), host)
  for (const host of [
    '',
    'pump-8',
    'router',
    '192.168.1.1',
    '127.0.0.2',
    'fd00::8',
    'pump-7.example.com',
    'localhost.example.com',
  ])
    assert.ok(!isDeviceHost(host, pump), host)
})
