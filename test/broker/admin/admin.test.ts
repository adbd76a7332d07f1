import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { after } from 'node:test'
import { askBroker } from '#broker/admin/io/admin-client.ts'
import { serveAdmin } from '#broker/admin/io/admin-server.ts'
import { globalIpv6, localIpv4 } from '#broker/admin/io/machine-addresses.ts'
import { apiHosts, reachOf } from '#broker/admin/reach.ts'
import { extentNote } from '#broker/cli/extent-note.ts'
import { parseConfig } from '#broker/config.ts'
import { AditError } from '#shared/errors.ts'
import { silentLog } from '#shared/platform/log.ts'

const root = mkdtempSync(join(tmpdir(), 'adit-admin-'))
after(() => rmSync(root, { recursive: true }))
let count = 0
function freshFolder(name = `data-${++count}`): string {
  const folder = join(root, name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return folder
}

const echo = async (verb: string, args: unknown): Promise<unknown> => {
  if (verb === 'refuse') throw new AditError('name-taken', 'Taken.', 'Choose another.')
  if (verb === 'break') throw new TypeError('oops')
  return { verb, args }
}

test('a question and its answer; refusals keep their code; the socket is private', async () => {
  const folder = freshFolder()
  const server = await serveAdmin(folder, echo, silentLog)
  assert.equal(statSync(join(folder, 'admin.sock')).mode & 0o777, 0o600)
  assert.deepEqual(await askBroker(folder, 'hello', { a: 'ü\n' }), { result: { verb: 'hello', args: { a: 'ü\n' } } })
  await assert.rejects(askBroker(folder, 'refuse', {}), { code: 'name-taken', message: 'Taken.', mend: 'Choose another.' })
  await assert.rejects(askBroker(folder, 'break', {}), { code: 'internal' })
  const many = await Promise.all(Array.from({ length: 20 }, (_, n) => askBroker(folder, 'n', n)))
  assert.deepEqual(
    many.map((answer) => (answer as { result: { args: number } }).result.args),
    Array.from({ length: 20 }, (_, n) => n),
  )
  await server.close()
  assert.equal(await askBroker(folder, 'hello', {}), undefined)
})

test('a dead broker leaves a socket behind: nobody answers, and the next one takes its place', async () => {
  const folder = freshFolder()
  writeFileSync(join(folder, 'admin.sock'), '')
  assert.equal(await askBroker(folder, 'hello', {}), undefined)
  const server = await serveAdmin(folder, echo, silentLog)
  assert.ok(await askBroker(folder, 'hello', {}))
  await server.close()
})

test('a data folder with a path longer than a socket address', async () => {
  const folder = freshFolder(`${'long-'.repeat(20)}/${'path-'.repeat(20)}`)
  assert.ok(folder.length > 200)
  const server = await serveAdmin(folder, echo, silentLog)
  assert.ok(await askBroker(folder, 'hello', {}))
  assert.ok(statSync(join(folder, 'admin.sock')).isSocket())
  await server.close()
  assert.equal(await askBroker(folder, 'hello', {}), undefined)
})

test('a broker that ends before it answers is told as such, never asked twice', async () => {
  const folder = freshFolder()
  let asked = 0
  const server = await serveAdmin(
    folder,
    () => {
      asked += 1
      return new Promise(() => undefined)
    },
    silentLog,
  )
  const refused = assert.rejects(askBroker(folder, 'hang', {}), { code: 'broker-unreachable' })
  while (asked === 0) await new Promise((resolve) => setImmediate(resolve))
  await server.close()
  await refused
  assert.equal(asked, 1)
})

test('noise and endless lines on the socket harm nobody else', async () => {
  const folder = freshFolder()
  const server = await serveAdmin(folder, echo, silentLog)
  const socket = connect(join(folder, 'admin.sock'))
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  socket.write('not json\n')
  assert.match((await lines.next()).value, /"error"/)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => undefined)
  const flood = setInterval(() => socket.write('x'.repeat(65_536)), 1)
  await closed
  clearInterval(flood)
  assert.ok(await askBroker(folder, 'hello', {}))
  await server.close()
})

test('where the broker is reached: configured, listening, or not known', () => {
  const mine = ['192.0.2.1', '2001:db8::1']
  const config = parseConfig('', 'f')
  const listening = (listen: string, api: string) => reachOf(config, { listen, api: `https://${api}` }, mine)
  assert.deepEqual(listening('127.0.0.1:5', '127.0.0.1:6'), {
    api: ['https://127.0.0.1:6'],
    endpoints: ['127.0.0.1:5'],
    addresses: [],
    extent: { api: 'anywhere', endpoints: 'anywhere' },
  })
  assert.deepEqual(listening('[::]:5', '[::]:6'), {
    api: ['https://192.0.2.1:6', 'https://[2001:db8::1]:6'],
    endpoints: ['192.0.2.1:5', '[2001:db8::1]:5'],
    addresses: [],
    extent: { api: 'anywhere', endpoints: 'anywhere' },
  })
  assert.deepEqual(listening('0.0.0.0:5', '0.0.0.0:6').api, ['https://192.0.2.1:6'])
  assert.deepEqual(reachOf(config, undefined, mine).endpoints, ['192.0.2.1:4500', '[2001:db8::1]:4500'])
  assert.deepEqual(reachOf(parseConfig('api = "127.0.0.1:0"', 'f'), undefined, mine).api, [])
  const dnat = parseConfig(
    'public-endpoints = ["b.example:1"]\npublic-api = ["https://b.example:2"]\napi-names = ["c.example"]',
    'f',
  )
  assert.deepEqual(reachOf(dnat, { listen: '10.0.0.1:9', api: 'https://10.0.0.1:8' }, mine), {
    api: ['https://b.example:2'],
    endpoints: ['b.example:1'],
    addresses: mine,
    extent: { api: 'anywhere', endpoints: 'anywhere' },
  })
  assert.deepEqual(apiHosts(dnat, mine), ['c.example', 'b.example', ...mine])
  assert.deepEqual(apiHosts(parseConfig('api = "[::1]:1"', 'f'), mine), ['::1'])
})

test('whose addresses lead nowhere outside is told, unless a person has named them', () => {
  const config = parseConfig('', 'f')
  const listening = { listen: '[::]:5', api: 'https://[::]:6' }
  const extent = (addresses: readonly string[], on = listening) => reachOf(config, on, addresses).extent
  assert.deepEqual(extent(['10.0.0.5', 'fd00::5']), { api: 'network', endpoints: 'network' })
  assert.deepEqual(extent(['127.0.0.1']), { api: 'machine', endpoints: 'machine' })
  assert.deepEqual(extent(['10.0.0.5', '192.0.2.1']), { api: 'anywhere', endpoints: 'anywhere' })
  const bound = { listen: ':5', api: 'https://10.0.0.5:6' }
  assert.deepEqual(extent(['10.0.0.5'], bound), { api: 'anywhere', endpoints: 'network' })
  const named = parseConfig('public-endpoints = ["10.0.0.5:1"]', 'f')
  assert.deepEqual(reachOf(named, listening, ['10.0.0.5']).extent, { api: 'network', endpoints: 'anywhere' })

  assert.equal(extentNote('anywhere', 'https://192.0.2.1:6', 'move.'), '')
  assert.equal(
    extentNote('network', 'https://10.0.0.5:6', 'move.'),
    "Only this machine's own network reaches https://10.0.0.5:6. For others, move.\n",
  )
  assert.equal(extentNote('machine', '127.0.0.1:5', 'move.'), 'Only this machine reaches 127.0.0.1:5. For others, move.\n')
})

test('addresses of a machine whose cable has no carrier yet', () => {
  const trie = `Main:
  +-- 10.9.0.0/24 2 0 2
     |-- 10.9.0.0
        /24 link UNICAST
     |-- 10.9.0.1
        /32 host LOCAL
     |-- 10.9.0.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
Local:
     |-- 10.9.0.1
        /32 host LOCAL
`
  assert.deepEqual(localIpv4(trie), ['10.9.0.1'])
  const table = `00000000000000000000000000000001 01 80 10 80       lo
fd090000000000000000000000000001 03 40 00 c0       d0
fe80000000000000fc02000000000001 02 40 20 80     eth0
`
  assert.deepEqual(globalIpv6(table), ['fd09::1'])
  assert.deepEqual([localIpv4(''), globalIpv6('')], [[], []])
})
