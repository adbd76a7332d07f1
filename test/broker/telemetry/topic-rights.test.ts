import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maySubscribe, publishChannel } from '#broker/telemetry/topic-rights.ts'

test('A-49 a device publishes on its own three topics and nowhere else', () => {
  assert.equal(publishChannel('pi', 'adit/d/pi/readings'), 'readings')
  assert.equal(publishChannel('pi', 'adit/d/pi/host-keys'), 'host-keys')
  assert.equal(publishChannel('pi', 'adit/d/pi/goodbye'), 'goodbye')
  const refused = [
    'adit/d/po/readings',
    'adit/d/pi/other',
    'adit/d/pi',
    'adit/d/pi/readings/',
    'adit/d/pi/readings/x',
    '/adit/d/pi/readings',
    'adit//pi/readings',
    'adit/d/+/readings',
    'adit/d/#',
    '$SYS/broker/new/clients',
    '$CONTROL/x',
    '$share/g/adit/d/pi/readings',
    'adit/d/pi/readings\0',
    'adit/d/pi\u00e4/readings',
    '',
    `adit/d/pi/${'x/'.repeat(100)}`,
  ]
  for (const topic of refused) assert.equal(publishChannel('pi', topic), undefined, topic)
})

test('A-49 a filter is granted only where all that it matches is granted', () => {
  assert.equal(maySubscribe('pi', 'adit/d/pi/commands'), true)
  assert.equal(maySubscribe('pi', 'adit/d/pi/commands/reboot'), true)
  for (const filter of [
    '#',
    '+',
    'adit/#',
    'adit/d/+/commands',
    'adit/d/pi/#',
    'adit/d/pi/+',
    'adit/d/pi/',
    'adit/d/pi',
    'adit/d/pie/x',
    '$SYS/#',
    '$share/g/adit/d/pi/commands',
  ])
    assert.equal(maySubscribe('pi', filter), false, filter)
})

test('A-50 a name that looks like a wildcard gives no rights', () => {
  for (const name of ['+', '#', 'a/b', '']) {
    assert.equal(publishChannel(name, `adit/d/${name}/readings`), undefined)
    assert.equal(maySubscribe(name, `adit/d/${name}/x`), name === 'a/b' || name === '')
  }
})
