import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { defaultConfig, parseDeviceConfig, parseDevicePath, parseMqtt, parseTunName } from '#agent/device/config.ts'
import { isAditError } from '#shared/errors.ts'

const example = join(import.meta.dirname, '../../../agent/adit-agent.example.toml')

test('the example holds every key, with the defaults', async () => {
  const source = await readFile(example, 'utf8')
  const config = await parseDeviceConfig(source, 'example')
  assert.deepEqual(
    { ...config, mqtt: config.mqtt === 'off' ? 'off' : config.mqtt.listen },
    { ...defaultConfig, mqtt: defaultConfig.mqtt === 'off' ? 'off' : defaultConfig.mqtt.listen },
  )
  const keys = [...source.matchAll(/^(\[\w+\]|\w+ =)/gm)].map(([, key]) => key!.replace(/ =|[[\]]/g, ''))
  assert.deepEqual(keys, [
    'suite',
    'log',
    'level',
    'services',
    'identity',
    'renew',
    'network',
    'proxy',
    'path',
    'port_mapping',
    'tun',
    'route',
    'dns',
    'readings',
    'mqtt',
    'vitals',
    'outbox',
    'readings',
    'megabytes',
    'data',
    'factory',
    'voucher',
    'brokers',
  ])
  const commented = source.replace(/^# (ssh|http|"plc:102") =/gm, (line) => line.slice(2))
  assert.deepEqual(
    (await parseDeviceConfig(commented, 'example')).services.map(({ port }) => port),
    [22, 80, 102],
  )
})

test('a broken line is named with file, line and mend', async () => {
  const cases: [source: string, place: string][] = [
    ['[services]\nssh = "127.0.0.1:22', 'c.toml:2'],
    ['[services]\n\nssh = 22', 'c.toml:3'],
    ['[services]\n"my gauge" = "127.0.0.1:1"', 'c.toml:2'],
    ['[log]\nlevel = "loud"', 'c.toml:2'],
    ['\n[readings]\nmqtt = "nowhere"', 'c.toml:3'],
    ['[readings]\nvitals = "fast"', 'c.toml:2'],
    ['[outbox]\nreadings = -1', 'c.toml:2'],
    ['[surprise]\nx = 1', 'c.toml:1'],
    ['[outbox]\nmegabyte = 3', 'c.toml:2'],
    ['services = 5', 'c.toml:1'],
    ['suite = "pptp"', 'c.toml:1'],
    ['[network]\nproxy = ""\npath = "direct"', 'c.toml:3'],
    ['[network]\npath = true', 'c.toml:2'],
    ['[network]\ndirect = true', 'c.toml:2'],
    ['[network]\ntun = "a name"', 'c.toml:2'],
    ['[network]\ntun = "abcdefghijklmnop"', 'c.toml:2'],
    ['[network]\nroute = "some"', 'c.toml:2'],
    ['[network]\ndns = ["resolver.example"]', 'c.toml:2'],
    ['[network]\ndns = "10.0.0.1"', 'c.toml:2'],
  ]
  for (const [source, place] of cases)
    await assert.rejects(parseDeviceConfig(source, 'c.toml'), (error) => {
      assert.ok(isAditError(error) && error.code === 'config-invalid', source)
      assert.ok(error.message.startsWith(`${place}:`), `${source} -> ${error.message}`)
      return error.mend.length > 0
    })
})

test("the kernel's part in the tunnel", async () => {
  const tunOf = async (lines: string) => (await parseDeviceConfig(`[network]\n${lines}\n`, 'x')).tun
  assert.equal(await tunOf('tun = ""'), undefined)
  assert.deepEqual(await tunOf('tun = "vpn0"'), { name: 'vpn0', all: undefined })
  assert.deepEqual(await tunOf('tun = "vpn0"\nroute = "fleet"\ndns = ["10.0.0.1"]'), { name: 'vpn0', all: undefined })
  assert.deepEqual(await tunOf('route = "all"\ndns = ["fd12::53"]'), { name: 'adit0', all: { dns: ['fd12::53'] } })
  assert.deepEqual(await tunOf('tun = "vpn0"\nroute = "all"'), { name: 'vpn0', all: { dns: [] } })
  for (const name of ['a', 'abcdefghijklmno', 'wg0.7_x-y']) assert.equal(parseTunName(name), name)
  for (const name of ['', '-x', '.', 'a/b', 'a b', 'abcdefghijklmnop', 'adit%d', 'ä'])
    assert.throws(() => parseTunName(name), { code: 'config-invalid' }, name)
})

test('the ways by which operators may reach the device', async () => {
  assert.equal((await parseDeviceConfig('[network]\npath = "relay"\n', 'x')).path, 'relay')
  assert.equal((await parseDeviceConfig('', 'x')).path, 'auto')
  assert.deepEqual(['auto', 'relay'].map(parseDevicePath), ['auto', 'relay'])
  for (const wrong of ['', 'direct', 'RELAY']) assert.throws(() => parseDevicePath(wrong), { code: 'usage' }, wrong)
  await assert.rejects(parseDeviceConfig('[network]\npath = "direct"\n', 'x'), {
    message: 'x:2: "path" is not as it should be.',
    mend: 'Write one of: auto, relay.',
  })
})

test('places for local readings', () => {
  assert.deepEqual(parseMqtt('127.0.0.1:0'), { listen: { address: '127.0.0.1', port: 0 }, explicit: true })
  assert.deepEqual(parseMqtt('[::1]:1884'), { listen: { address: '::1', port: 1884 }, explicit: true })
  assert.equal(parseMqtt('off'), 'off')
  for (const text of ['', '0', 'x', '127.0.0.1', ':1883', '127.0.0.1:70000']) assert.throws(() => parseMqtt(text), text)
})

test('what the data of the tunnel may cost: mode, budget, poll, and what to do where both cannot be had', async () => {
  const text = '[data]\nmode = "metered"\nmonthly_megabytes = 1.1\npoll = "30m"\nexceeded = "on-demand"\n'
  const { data } = await parseDeviceConfig(text, 'x')
  assert.deepEqual(data, { mode: 'metered', monthlyMegabytes: 1.1, poll: 1_800_000, exceeded: 'on-demand' })
  for (const wrong of ['mode = "cheap"', 'monthly_megabytes = 0', 'poll = "1s"', 'poll = "off"', 'exceeded = "no"', 'budget = 1'])
    await assert.rejects(parseDeviceConfig(`[data]\n${wrong}\n`, 'x'), { code: 'config-invalid' }, wrong)
})
