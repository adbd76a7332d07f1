import assert from 'node:assert/strict'
import test from 'node:test'
import { operatorLoopback } from '#agent/core/operator-loopback.ts'
import { mergeServices, parseService, parseServiceFlag } from '#agent/core/service.ts'
import { isAditError } from '#shared/errors.ts'

const refused = (work: () => unknown): boolean => {
  try {
    work()
    return false
  } catch (error) {
    return isAditError(error) && error.code === 'config-invalid' && error.mend !== ''
  }
}

test('names bring their registered port, others say it', () => {
  assert.deepEqual(parseServiceFlag('ssh=127.0.0.1:2222'), {
    name: 'ssh',
    port: 22,
    target: { address: '127.0.0.1', port: 2222 },
  })
  assert.equal(parseServiceFlag('modbus=10.0.0.5:502').port, 502)
  assert.deepEqual(parseServiceFlag('gauge:7001=[::1]:70'), { name: 'gauge', port: 7001, target: { address: '::1', port: 70 } })
})

test('broken services get a sentence with a mend', () => {
  for (const text of [
    'ssh',
    '=1.2.3.4:5',
    'ssh=',
    'ssh=127.0.0.1',
    'ssh=127.0.0.1:0',
    'ssh=127.0.0.1:99999',
    'gauge=127.0.0.1:1',
  ])
    assert.ok(
      refused(() => parseServiceFlag(text)),
      text,
    )
  for (const key of ['SSH', 's/sh', 'ssh:0', 'ssh:1:2', 'ssh:x', '\u001b[2J'])
    assert.ok(
      refused(() => parseService(key, '127.0.0.1:22')),
      key,
    )
})

test('a flag overrides the file at the same inner port', () => {
  const services = mergeServices([parseServiceFlag('ssh=127.0.0.1:22')], [parseServiceFlag('ssh=127.0.0.1:2222')])
  assert.deepEqual(
    services.map(({ target }) => target.port),
    [2222],
  )
})

test('two services for one inner port are refused, since one of them would never be reached', () => {
  const two = (...texts: string[]) => mergeServices([], texts.map(parseServiceFlag))
  assert.ok(refused(() => two('ssh=127.0.0.1:22', 'ssh=127.0.0.1:2222')))
  assert.ok(refused(() => two('ssh=127.0.0.1:22', 'http=127.0.0.1:80', 'x:22=127.0.0.1:23')))
  assert.equal(two('ssh=127.0.0.1:22', 'x:23=127.0.0.1:22').length, 2)
})

test('each operator has a loopback address inside 127.64.0.0/10 that is no network or broadcast address', () => {
  assert.equal(operatorLoopback('100.64.0.7'), '127.64.0.7')
  for (const address of ['100.127.255.255', '100.64.1.0', 'fd00::1', 'fdaa:bbcc:dd00:1122:3344:5566:7788:99aa']) {
    const [a, b, , d] = operatorLoopback(address).split('.').map(Number)
    assert.equal(a, 127)
    assert.ok(b! >= 64 && b! <= 127 && d! > 0 && d! < 255, address)
  }
  assert.notEqual(operatorLoopback('100.64.0.7'), operatorLoopback('100.64.0.8'))
})
