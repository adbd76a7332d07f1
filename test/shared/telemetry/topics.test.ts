import assert from 'node:assert/strict'
import test from 'node:test'
import { deviceTopic, isReadingName, parseDeviceTopic, readingNameOf } from '#shared/telemetry/topics.ts'

test('device topics go both ways', () => {
  assert.equal(deviceTopic('pi', 'readings'), 'adit/d/pi/readings')
  assert.deepEqual(parseDeviceTopic('adit/d/pi/host-keys'), { device: 'pi', channel: 'host-keys' })
})

test('A-49, A-50 wildcards, empty, foreign and deeper levels name no device', () => {
  for (const topic of [
    '',
    'adit/d',
    'adit/d/',
    'adit/d//readings',
    'adit/d/+/readings',
    'adit/d/#',
    'adit/d/pi',
    'adit/d/pi/readings/x',
  ])
    assert.equal(parseDeviceTopic(topic), undefined, topic)
  for (const topic of ['adit/d/pi/unknown', '$SYS/d/pi/readings', '/adit/d/pi/readings', 'adit/d/p\0i/readings'])
    assert.equal(parseDeviceTopic(topic), undefined, topic)
})

test('readings have plain names', () => {
  assert.equal(readingNameOf('sensors/boiler/t1'), 'boiler/t1')
  assert.equal(readingNameOf('other/boiler'), undefined)
  for (const name of ['t', 'boiler/t1', 'a.b-c_d:e', 'x'.repeat(128)]) assert.ok(isReadingName(name), name)
  for (const name of ['', '/t', 't/', 'a//b', 'a b', 'ä', 'a\u001b[1m', '+', 'a/#', 'x'.repeat(129)])
    assert.ok(!isReadingName(name), name)
})
